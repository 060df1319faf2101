#!/bin/bash
# build_llama.sh DIR [portable] : llama.cpp's `llama-bench` with its Vulkan and CPU backends, at DIR/bin/llama-bench.
# The sources are those within the Python package llama-cpp-python. The shader compiler, and Vulkan's and SPIR-V's headers, are Debian
# trixie's, unpacked within DIR: Debian 12's know neither cooperative matrices nor integer dot products. Only cmake and ninja are
# installed, where they are missing. With `portable`, DIR/bin/llama-bench-portable, from the same objects: its CPU backend needs AVX2 and
# no more, and no library is needed but those of C and Vulkan. Takes half an hour on two cores, most of it for the shaders. A finished
# build is left alone.
set -euo pipefail
VERSION=0.3.36
JOBS=${JOBS:-$(nproc)}
HERE=$(cd "$(dirname "$0")" && pwd)
DIR=$(mkdir -p "${1:?build_llama.sh DIR [portable]}" && cd "$1" && pwd)
variant=${2:-}
program=$DIR/bin/llama-bench${variant:+-$variant}
[ -x "$program" ] && exit 0

packages=()
command -v cmake >/dev/null || packages+=(cmake)
command -v ninja >/dev/null || packages+=(ninja-build)
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

# The compiler runs with the C library of its own release.
trixie=$DIR/trixie
"$HERE/../../scripts/unpack_debian.sh" "$trixie" named trixie glslc libshaderc1 libstdc++6 libgcc-s1 libc6 libvulkan-dev spirv-headers
libraries=$trixie/usr/lib/$(gcc -print-multiarch)
glslc=$DIR/glslc
cat >"$glslc" <<W
#!/bin/sh
exec "$(echo "$libraries"/ld-linux*.so.*)" --library-path "$libraries" "$trixie/usr/bin/glslc" "\$@"
W
chmod +x "$glslc"

# The CPU backend for this processor, but not for AMX: virtual machines announce it and fault on it.
features=$(grep -m1 '^flags' /proc/cpuinfo)
options=(-DGGML_OPENMP=ON)
if [ "$variant" = portable ]; then
    features="avx avx2 fma f16c bmi2"
    options=(-DGGML_OPENMP=OFF)
fi
for feature in avx avx2 fma f16c bmi2 avx512f:AVX512 avx512_vnni avx512vbmi:AVX512_VBMI avx512_bf16; do
    option=${feature#*:}
    grep -qw "${feature%:*}" <<<"$features" && options+=("-DGGML_${option^^}=ON") || options+=("-DGGML_${option^^}=OFF")
done

loader=$(ldconfig -p | awk '/libvulkan\.so\.1 / { print $NF; exit }')
cmake -S "$source_dir" -B "$DIR/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_EXE_LINKER_FLAGS="-static-libstdc++ -static-libgcc" \
    -DCMAKE_PREFIX_PATH="$trixie/usr" -DVulkan_INCLUDE_DIR="$trixie/usr/include" -DVulkan_LIBRARY="$loader" \
    -DVulkan_GLSLC_EXECUTABLE="$glslc" "${options[@]}" -DGGML_NATIVE=OFF -DGGML_VULKAN=ON -DBUILD_SHARED_LIBS=OFF \
    -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF \
    >"$DIR/configure.log"
for extension in GL_KHR_cooperative_matrix GL_NV_cooperative_matrix2 GL_EXT_integer_dot_product; do
    grep -q "$extension supported by glslc" "$DIR/configure.log" || { echo "$glslc lacks $extension: see $DIR/configure.log" >&2; exit 1; }
done
nice -n 5 cmake --build "$DIR/build" --target llama-bench -j "$JOBS" >"$DIR/build.log"
mkdir -p "$DIR/bin"
cp "$DIR/build/bin/llama-bench" "$program"
