"""One case on ONNX Runtime, and the model it takes. Run by engines.py with a Python that has onnxruntime.

    onnxruntime_rate.py prepare IN.onnx OUT.onnx BITS          logits of the last token only; BITS 4: matrices in groups of 32
    onnxruntime_rate.py prefill|decode cpu|webgpu MODEL TOKENS DEPTH THREADS    prints {"version": …, "rate": tokens a second}
"""

import json
import os
import pathlib
import sys
import time

import numpy as np


def prepare(source, target, bits):
    """As the other engines do, computes the logits of the last token alone."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(source)
    graph = model.graph
    head = next(node for node in graph.node if "logits" in node.output)
    last = numpy_helper.from_array(np.array([-1], np.int64), "last_position")
    graph.initializer.append(last)
    gather = helper.make_node("Gather", [head.input[0], last.name], ["last_hidden"], axis=1)
    graph.node.insert(list(graph.node).index(head), gather)
    head.input[0] = "last_hidden"
    logits = next(o for o in graph.output if o.name == "logits")
    logits.type.tensor_type.shape.dim[1].dim_value = 1
    if bits == 4:
        fold_transposed(graph, head)
        from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

        quantizer = MatMulNBitsQuantizer(model, block_size=32, is_symmetric=False, accuracy_level=4)
        quantizer.process()
        model = quantizer.model.model
    pathlib.Path(target).parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, target, save_as_external_data=True, location="weights.bin")


def fold_transposed(graph, head):
    """A head that shares the embedding multiplies by its transpose: the quantizer takes constants alone."""
    from onnx import numpy_helper

    transpose = next((node for node in graph.node if head.input[1] in node.output), None)
    if transpose is not None:
        table = next(i for i in graph.initializer if i.name == transpose.input[0])
        turned = np.ascontiguousarray(numpy_helper.to_array(table).T)
        graph.node.remove(transpose)
        graph.initializer.append(numpy_helper.from_array(turned, head.input[1]))


def open_session(place, path, threads):
    """The session, and the version of what runs it."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    if place == "cpu":
        return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"]), ort.__version__
    import onnxruntime_ep_webgpu as webgpu

    # Else it takes no software driver.
    os.environ["ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER"] = "1"
    ort.register_execution_provider_library("webgpu", webgpu.get_library_path())
    device = next(d for d in ort.get_ep_devices() if d.ep_name == webgpu.get_ep_name())
    options.add_provider_for_devices([device], {})
    session = ort.InferenceSession(path, options)
    # Without an adapter it warns and goes on, on the CPU.
    if webgpu.get_ep_name() not in session.get_providers():
        sys.exit("ONNX Runtime's WebGPU finds no adapter")
    return session, f"{ort.__version__}, WebGPU plugin {device.ep_metadata['version']}"


def measure(kind, place, path, tokens, depth, threads):
    """The second of two repetitions, each with a cache of `depth` tokens before it, which stays where it is computed."""
    from onnxruntime import OrtValue

    session, version = open_session(place, path, threads)

    def step(ids, past):
        at = next(iter(past.values())).shape()[2]
        inputs = {
            "input_ids": np.array([ids], np.int64),
            "attention_mask": np.ones((1, at + len(ids)), np.int64),
            "position_ids": np.arange(at, at + len(ids), dtype=np.int64)[None],
        }
        given = {name: OrtValue.ortvalue_from_numpy(value) for name, value in inputs.items()} | past
        binding = session.io_binding()
        for i in session.get_inputs():
            binding.bind_ortvalue_input(i.name, given[i.name])
        for o in session.get_outputs():
            binding.bind_output(o.name, "cpu" if o.name == "logits" else place)
        session.run_with_iobinding(binding)
        found = {o.name: value for o, value in zip(session.get_outputs(), binding.get_outputs())}
        found.pop("logits").numpy()
        return {name.replace("present", "past_key_values"): value for name, value in found.items()}

    heads = {i.name: i.shape for i in session.get_inputs() if i.name.startswith("past_key_values")}
    empty = {n: OrtValue.ortvalue_from_numpy(np.zeros((1, s[1], 0, s[3]), np.float32)) for n, s in heads.items()}
    text = [1 + i * 7 % 31 for i in range(depth + tokens)]
    for _ in range(2):
        past = step(text[:depth], empty) if depth else empty
        start = time.perf_counter()
        for part in [text[depth:]] if kind == "prefill" else [[t] for t in text[depth:]]:
            past = step(part, past)
        seconds = time.perf_counter() - start
    print(json.dumps(dict(version=version, rate=tokens / seconds)))


if __name__ == "__main__":
    word, *rest = sys.argv[1:]
    if word == "prepare":
        prepare(rest[0], rest[1], int(rest[2]))
    else:
        measure(word, *rest[:2], *map(int, rest[2:]))
