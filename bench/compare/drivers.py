"""Which Vulkan driver the engines on the GPU get: this machine's, or a newer Mesa that is unpacked beside them."""

import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MESAS = ["system", "backports"]
LAYER = "VK_LAYER_HALFBYTE_image_indexing"


def output(command, **env):
    """What a command prints; its complaint and the end when it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env={**os.environ, **env})
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr[-2000:]}")
    return done.stdout


def choose(options):
    """Every process from here on gets the driver that is wanted; returns its version if it is not the system's."""
    os.environ.setdefault("XDG_RUNTIME_DIR", "/tmp")  # Mesa complains where this is not set.
    if options.mesa == "system":
        return None
    folder = options.folder / "mesa-backports"
    output([ROOT / "scripts/unpack_debian.sh", folder, "needed", "bookworm-backports", "mesa-vulkan-drivers"])
    libraries = next(folder.glob("usr/lib/*/libvulkan_lvp.so")).parent
    os.environ["LD_LIBRARY_PATH"] = ":".join(filter(None, [str(libraries), os.environ.get("LD_LIBRARY_PATH")]))
    os.environ["VK_DRIVER_FILES"] = ":".join(str(file) for file in sorted(folder.glob("usr/share/vulkan/icd.d/*.json")))
    packages = (folder / "packages").read_text().split()
    return next(name for name in packages if name.startswith("mesa-vulkan-drivers")).split("_")[1]


def dawn_layer(options):
    """The environment that lets Dawn, within ONNX Runtime, take Mesa's software driver before version 23."""
    folder = options.folder / "layer"
    headers = options.folder / "headers"
    output([ROOT / "scripts/unpack_debian.sh", headers, "named", "trixie", "libvulkan-dev"])
    folder.mkdir(exist_ok=True)
    library = folder / "libimage_indexing_layer.so"
    output(["cc", "-O1", "-shared", "-fPIC", f"-I{headers}/usr/include", "-o", library, HERE / "image_indexing_layer.c"])
    layer = dict(name=LAYER, type="GLOBAL", library_path=str(library), api_version="1.3.0", implementation_version="1", description="")
    (folder / "layer.json").write_text(json.dumps(dict(file_format_version="1.2.0", layer=layer)))
    return dict(VK_LAYER_PATH=str(folder), VK_INSTANCE_LAYERS=LAYER)


def only_adapter(halfbyte):
    """The name of this machine's one GPU, for an engine that cannot be told which to take."""
    adapters = json.loads(output([halfbyte, "devices", "--json"]))["adapters"]
    if len(adapters) != 1:
        names = ", ".join(adapter["name"] for adapter in adapters)
        sys.exit(f"ONNX Runtime's WebGPU cannot be told which of {names} to take: leave one, with VK_DRIVER_FILES, or leave it out, with --only")
    return adapters[0]["name"]
