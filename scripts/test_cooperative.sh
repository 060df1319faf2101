#!/usr/bin/env bash
# test_cooperative.sh DIR : the tests of cooperative matrices, on software Vulkan that has them: the Mesa of Debian trixie's backports,
# unpacked within DIR with the C library that it needs (about 110 MB fetched). Where it cannot be had, says so and ends with 0.
set -euo pipefail
cd "$(dirname "$0")/.."
mesa=$(mkdir -p "${1:?test_cooperative.sh DIR}" && cd "$1" && pwd)

missing() {
    echo "cooperative: $1, so that cooperative matrices are not tested here" >&2
    exit 0
}

[ "$(uname -m)" = x86_64 ] || missing "this is no x86-64"
scripts/unpack_debian.sh "$mesa" needed trixie-backports mesa-vulkan-drivers || missing "Debian trixie's Mesa cannot be fetched"
libraries=$mesa/usr/lib/x86_64-linux-gnu
[ -e "$libraries/ld-linux-x86-64.so.2" ] || libraries=/usr/lib/x86_64-linux-gnu
# This Mesa asks for a newer C library than Debian 12's, which a program can only have from its start.
cat >"$mesa/with_mesa" <<RUN
#!/bin/sh
exec $libraries/ld-linux-x86-64.so.2 --library-path $libraries:/usr/lib/x86_64-linux-gnu "\$@"
RUN
chmod +x "$mesa/with_mesa"
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=$mesa/with_mesa
export VK_DRIVER_FILES=$mesa/usr/share/vulkan/icd.d/lvp_icd.json XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/tmp}
export VK_ICD_FILENAMES=$VK_DRIVER_FILES HALFBYTE_COOPERATIVE=1
cargo nextest run --workspace -E 'test(cooperative_matrices_give)' --no-capture
