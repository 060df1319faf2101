#!/usr/bin/env bash
# Makes sure that what the build and the tests need is there: a Vulkan driver, and the cargo tools. `setup.sh runtime` leaves
# the tools out; `setup.sh browser` adds Chromium, without which the test of a report in a browser says that it is skipped.
set -euo pipefail

packages=()
have_driver() { compgen -G '/usr/share/vulkan/icd.d/*.json' >/dev/null || compgen -G '/etc/vulkan/icd.d/*.json' >/dev/null; }
have_driver || packages+=(mesa-vulkan-drivers)
ldconfig -p | grep -q 'libvulkan\.so\.1' || packages+=(libvulkan1)
command -v cc >/dev/null || packages+=(gcc libc6-dev)
command -v python3 >/dev/null || packages+=(python3)
python3 -m pip --version >/dev/null 2>&1 || packages+=(python3-pip)
[ "${1:-}" != browser ] || command -v chromium >/dev/null || packages+=(chromium)

if [ "${#packages[@]}" -gt 0 ] && [ "$(uname)" = Linux ]; then
    if ! command -v apt-get >/dev/null; then
        echo "setup: please install these packages of your distribution, then run again: ${packages[*]}" >&2
        exit 1
    fi
    as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo)
    echo "setup: installing ${packages[*]}"
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
fi

if [ "${1:-}" != runtime ]; then
    command -v cargo-nextest >/dev/null || cargo install --locked --quiet cargo-nextest
    command -v cargo-deny >/dev/null || cargo install --locked --quiet cargo-deny
fi
