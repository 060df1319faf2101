#!/usr/bin/env bash
# check_targets.sh TARGET... : whether the program compiles for other systems; nothing is linked. What a target needs of Rust is fetched;
# where it cannot be had, says so and goes on.
set -euo pipefail
cd "$(dirname "$0")/.."
for target in "$@"; do
    if rustup target add "$target" >/dev/null 2>&1 && cargo fetch --quiet --locked --target "$target"; then
        cargo check --quiet --package cli --target "$target"
        echo "compiles for $target"
    else
        echo "targets: $target cannot be fetched, so that compiling for it is not checked here" >&2
    fi
done
