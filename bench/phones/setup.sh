#!/bin/bash
# setup.sh DIR : Mesa's drivers for Adreno, Apple and Mali from Debian's trixie-backports, unpacked within DIR, and what runs their
# compilers without a GPU: DIR/on TARGET OUT FILE.spv... Installs gcc and, for Mali's driver, an arm64 compiler and qemu where they are
# missing. About 60 MB fetched, 400 MB unpacked. Exit status 3 when a package cannot be had, with a sentence on stderr.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mkdir -p "${1:?setup.sh DIR}" && cd "$1" && pwd)
mirror=${MIRROR:-http://deb.debian.org/debian}
libraries="libc6 libgcc-s1 libstdc++6 libdisplay-info2 libdrm2 libexpat1 libwayland-client0 libx11-xcb1 libxcb-dri3-0 libxcb-present0
    libxcb-randr0 libxcb-shm0 libxcb-sync1 libxcb-xfixes0 libxcb1 libxshmfence1 libzstd1 zlib1g libffi8 libxau6 libxdmcp6 libbsd0 libmd0"

missing() {
    echo "phones: $1, so the table cannot be made here" >&2
    exit 3
}

[ -e "$dir/done" ] && exit 0
command -v apt-get >/dev/null && command -v dpkg >/dev/null || missing "this is no Debian"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e $keyring ] || missing "there is no $keyring"

for architecture in amd64 arm64; do
    apt=$dir/apt-$architecture
    mkdir -p "$apt"/etc/{apt.conf.d,preferences.d} "$apt"/lists/partial "$apt"/cache/archives/partial "$apt"/state "$apt"/deb
    touch "$apt/state/status"
    for suite in trixie trixie-backports; do
        echo "deb [signed-by=$keyring] $mirror $suite main"
    done >"$apt/etc/sources.list"
    cat >"$apt/apt.conf" <<C
Dir::Etc "$apt/etc"; Dir::Etc::sourcelist "$apt/etc/sources.list"; Dir::Etc::sourceparts "$apt/none";
Dir::State "$apt/state"; Dir::State::lists "$apt/lists"; Dir::State::status "$apt/state/status"; Dir::Cache "$apt/cache";
APT::Architecture "$architecture"; APT::Architectures { "$architecture"; }; APT::Sandbox::User "root"; Acquire::Languages "none";
C
    (
        export APT_CONFIG=$apt/apt.conf
        apt-get -qq update 2>/dev/null || missing "Debian's package lists cannot be fetched"
        cd "$apt/deb"
        # shellcheck disable=SC2086 # a list of words
        apt-get -qq download $(printf '%s/trixie ' $libraries) 2>/dev/null || missing "the libraries of Debian trixie cannot be fetched"
        apt-get -qq download mesa-vulkan-drivers/trixie-backports 2>/dev/null || missing "Debian's trixie-backports have no mesa-vulkan-drivers"
        if [ $architecture = amd64 ]; then
            apt-get -qq download linux-libc-dev/trixie-backports libvulkan-dev/trixie 2>/dev/null || missing "Debian's headers are gone"
        fi
    ) || exit 3
    for package in "$apt"/deb/*.deb; do dpkg -x "$package" "$dir/$architecture"; done
    basename "$apt"/deb/mesa-vulkan-drivers_*.deb | cut -d_ -f2 >"$dir/mesa_version"
    rm -r "$apt"
done

packages=()
command -v gcc >/dev/null || packages+=(gcc libc6-dev)
command -v qemu-aarch64-static >/dev/null || packages+=(qemu-user-static)
command -v aarch64-linux-gnu-gcc >/dev/null || packages+=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross)
if [ ${#packages[@]} -gt 0 ]; then
    apt-get -qq install -y --no-install-recommends "${packages[@]}" >/dev/null || missing "apt cannot install ${packages[*]}"
fi

# Only these of the unpacked headers: the C library's are this machine's own.
mkdir -p "$dir/include"
for headers in drm linux asm-generic vulkan vk_video; do cp -r "$dir/amd64/usr/include/$headers" "$dir/include/"; done
build() {
    "$1" -O1 -w -shared -fPIC -I"$dir/include" -o "$dir/kernel_driver_$2.so" "$here/kernel_driver.c"
    "$1" -O1 -w -I"$dir/include" -o "$dir/pipeline_statistics_$2" "$here/pipeline_statistics.c" -ldl
}
build gcc amd64
build aarch64-linux-gnu-gcc arm64

cat >"$dir/on" <<'ON'
#!/bin/bash
# on TARGET OUT FILE.spv... : statistics and assembly of compute shaders on a GPU that is not there
dir=$(cd "$(dirname "$0")" && pwd)
target=$1 out=$2
shift 2
export MESA_SHADER_CACHE_DISABLE=true
case $target in
    adreno-660) chip=0x060600ff ;;
    adreno-740) chip=0x43050a01 ;;
    adreno-750) chip=0x43051401 ;;
    adreno-830) chip=0x44050001 ;;
    apple-g13) chip=0x8103 ;;
    mali-g610) chip=0xa867 variant=0 ;;
    mali-g720) chip=0xc870 variant=4 ;;
    rdna2)
        # The system's own driver: it needs LLVM, and no GPU.
        driver=/usr/lib/x86_64-linux-gnu/libvulkan_radeon.so
        [ -e $driver ] || { echo "phones: mesa-vulkan-drivers is not installed, so RDNA2 is left out" >&2; exit 3; }
        RADV_FORCE_FAMILY=navi24 exec "$dir/pipeline_statistics_amd64" $driver "$out" "$@" ;;
    *) echo "on: no target $target" >&2; exit 2 ;;
esac
export KERNEL_DRIVER_CHIP=$chip KERNEL_DRIVER_VARIANT=${variant:-0}
amd64=$dir/amd64/usr/lib/x86_64-linux-gnu arm64=$dir/arm64/usr/lib/aarch64-linux-gnu
case $target in
    mali-*)
        export KERNEL_DRIVER=panthor PAN_I_WANT_A_BROKEN_VULKAN_DRIVER=1
        exec qemu-aarch64-static "$arm64/ld-linux-aarch64.so.1" --preload "$dir/kernel_driver_arm64.so" --library-path "$arm64" \
            "$dir/pipeline_statistics_arm64" "$arm64/libvulkan_panfrost.so" "$out" "$@" ;;
    adreno-*) export KERNEL_DRIVER=msm; driver=freedreno ;;
    apple-*) export KERNEL_DRIVER=asahi AGX_MESA_DEBUG=shaders; driver=asahi ;;
esac
exec "$amd64/ld-linux-x86-64.so.2" --preload "$dir/kernel_driver_amd64.so" --library-path "$amd64" \
    "$dir/pipeline_statistics_amd64" "$amd64/libvulkan_$driver.so" "$out" "$@"
ON
chmod +x "$dir/on"
touch "$dir/done"
