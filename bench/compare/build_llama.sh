#!/bin/bash
# build_llama.sh DIR : llama.cpp's `llama-bench` with its Vulkan and CPU backends, at DIR/bin/llama-bench.
# The sources are those within the Python package llama-cpp-python; Vulkan's and SPIR-V's headers are those of Debian trixie, unpacked
# within DIR, since Debian 12's are too old. Only cmake, ninja and glslc are installed, where they are missing.
# Takes half an hour on two cores, most of it for the shaders. A finished build is left alone.
set -euo pipefail
VERSION=0.3.36
JOBS=${JOBS:-$(nproc)}
DIR=$(mkdir -p "${1:?build_llama.sh DIR}" && cd "$1" && pwd)
[ -x "$DIR/bin/llama-bench" ] && exit 0

packages=()
command -v cmake >/dev/null || packages+=(cmake)
command -v ninja >/dev/null || packages+=(ninja-build)
command -v glslc >/dev/null || packages+=(glslc)
ldconfig -p | grep -q 'libvulkan.so.1' || packages+=(libvulkan1)
if [ ${#packages[@]} -gt 0 ]; then
    apt-get -qq install -y --no-install-recommends "${packages[@]}" >/dev/null ||
        { echo "cannot install ${packages[*]}: is this Debian, and are you root?" >&2; exit 1; }
fi

source_dir=$DIR/llama_cpp_python-$VERSION/vendor/llama.cpp
if [ ! -d "$source_dir" ]; then
    python3 -m venv "$DIR/venv"
    "$DIR/venv/bin/pip" -q download --no-deps --no-binary llama-cpp-python -d "$DIR" "llama-cpp-python==$VERSION"
    tar -xzf "$DIR/llama_cpp_python-$VERSION.tar.gz" -C "$DIR"
fi

headers=$DIR/headers/usr
if [ ! -d "$headers/include/vulkan" ]; then
    apt=$DIR/apt
    mkdir -p "$apt"/etc/{apt.conf.d,preferences.d} "$apt"/lists/partial "$apt"/cache/archives/partial "$apt"/state "$apt"/deb
    touch "$apt/state/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main" >"$apt/etc/sources.list"
    cat >"$apt/apt.conf" <<C
Dir::Etc "$apt/etc"; Dir::Etc::sourcelist "$apt/etc/sources.list"; Dir::Etc::sourceparts "$apt/none";
Dir::State "$apt/state"; Dir::State::lists "$apt/lists"; Dir::State::status "$apt/state/status"; Dir::Cache "$apt/cache";
APT::Sandbox::User "root"; Acquire::Languages "none";
C
    (
        export APT_CONFIG=$apt/apt.conf
        apt-get -qq update
        cd "$apt/deb" && apt-get -qq download libvulkan-dev spirv-headers
    )
    for package in "$apt"/deb/*.deb; do dpkg -x "$package" "$DIR/headers"; done
    rm -rf "$apt"
fi

# The CPU backend for this processor, but not for AMX: virtual machines announce it and fault on it.
cpu=(-DGGML_NATIVE=OFF)
for feature in avx avx2 fma f16c bmi2 avx512f:AVX512 avx512_vnni avx512vbmi:AVX512_VBMI avx512_bf16; do
    option=${feature#*:}
    grep -qw "${feature%:*}" /proc/cpuinfo && cpu+=("-DGGML_${option^^}=ON") || cpu+=("-DGGML_${option^^}=OFF")
done

loader=$(ldconfig -p | awk '/libvulkan\.so\.1 / { print $NF; exit }')
cmake -S "$source_dir" -B "$DIR/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_PREFIX_PATH="$headers" -DVulkan_INCLUDE_DIR="$headers/include" -DVulkan_LIBRARY="$loader" \
    "${cpu[@]}" -DGGML_VULKAN=ON -DBUILD_SHARED_LIBS=OFF -DLLAMA_CURL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF \
    >"$DIR/configure.log"
nice -n 5 cmake --build "$DIR/build" --target llama-bench -j "$JOBS" >"$DIR/build.log"
mkdir -p "$DIR/bin"
cp "$DIR/build/bin/llama-bench" "$DIR/bin/"
