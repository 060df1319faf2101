#!/bin/bash
# unpack_debian.sh DIR named|needed SUITE PACKAGE... : packages of another Debian release, unpacked within DIR; nothing is installed.
# `named`: these alone. `needed`: also what they need beyond what this machine has installed, of SUITE or the release it belongs to.
set -euo pipefail
mkdir -p "${1:?unpack_debian.sh DIR named|needed SUITE PACKAGE...}"
dir=$(cd "$1" && pwd) which=$2 suite=$3
shift 3
[ -e "$dir/packages" ] && exit 0
mirror=${MIRROR:-http://deb.debian.org/debian}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
command -v apt-get >/dev/null && command -v dpkg >/dev/null && [ -e $keyring ] || { echo "cannot unpack $*: this is no Debian" >&2; exit 1; }

apt=$dir/apt
rm -rf "$apt"
mkdir -p "$apt"/etc/{apt.conf.d,preferences.d} "$apt"/lists/partial "$apt"/cache/archives/partial "$apt"/state
for name in "${suite%-backports}" "$suite"; do
    echo "deb [signed-by=$keyring] $mirror $name main"
done | sort -u >"$apt/etc/sources.list"
cat >"$apt/apt.conf" <<C
Dir::Etc "$apt/etc"; Dir::Etc::sourcelist "$apt/etc/sources.list"; Dir::Etc::sourceparts "$apt/none";
Dir::State "$apt/state"; Dir::State::lists "$apt/lists"; Dir::State::status "/var/lib/dpkg/status"; Dir::Cache "$apt/cache";
APT::Sandbox::User "root"; Acquire::Languages "none";
C
export APT_CONFIG=$apt/apt.conf
apt-get -qq update
cd "$apt/cache/archives"
if [ "$which" = needed ]; then
    apt-get -qq install --download-only --no-install-recommends -t "$suite" "$@" >/dev/null
else
    apt-get -qq download "${@/%//$suite}"
fi
for package in *.deb; do
    dpkg -x "$package" "$dir"
    basename "$package" .deb
done >"$apt/unpacked"
mv "$apt/unpacked" "$dir/packages"
rm -rf "$apt"
