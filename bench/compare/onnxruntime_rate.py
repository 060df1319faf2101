"""One case on ONNX Runtime's CPU provider, and the model it takes. Run by engines.py with a Python that has onnxruntime.

    onnxruntime_rate.py prepare IN.onnx OUT.onnx BITS          logits of the last token only; BITS 4: matrices in groups of 32
    onnxruntime_rate.py prefill|decode MODEL TOKENS DEPTH THREADS      prints {"version": …, "rate": tokens a second}
"""

import json
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
        from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

        quantizer = MatMulNBitsQuantizer(model, block_size=32, is_symmetric=False, accuracy_level=4)
        quantizer.process()
        model = quantizer.model.model
    pathlib.Path(target).parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, target, save_as_external_data=True, location="weights.bin")


def measure(kind, path, tokens, depth, threads):
    """The second of two repetitions, each with a cache of `depth` tokens before it."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    outputs = [o.name for o in session.get_outputs()]

    def step(ids, past):
        at = next(iter(past.values())).shape()[2]
        inputs = {
            "input_ids": np.array([ids], np.int64),
            "attention_mask": np.ones((1, at + len(ids)), np.int64),
            "position_ids": np.arange(at, at + len(ids), dtype=np.int64)[None],
        }
        given = {name: ort.OrtValue.ortvalue_from_numpy(value) for name, value in inputs.items()} | past
        given = {i.name: given[i.name] for i in session.get_inputs()}
        found = dict(zip(outputs, session.run_with_ort_values(outputs, given)))
        return {name.replace("present", "past_key_values"): v for name, v in found.items() if name != "logits"}

    heads = {i.name: i.shape for i in session.get_inputs() if i.name.startswith("past_key_values")}
    empty = {n: ort.OrtValue.ortvalue_from_numpy(np.zeros((1, s[1], 0, s[3]), np.float32)) for n, s in heads.items()}
    text = [1 + i * 7 % 31 for i in range(depth + tokens)]
    for _ in range(2):
        past = step(text[:depth], empty) if depth else empty
        start = time.perf_counter()
        for part in [text[depth:]] if kind == "prefill" else [[t] for t in text[depth:]]:
            past = step(part, past)
        seconds = time.perf_counter() - start
    print(json.dumps(dict(version=ort.__version__, rate=tokens / seconds)))


if __name__ == "__main__":
    word, *rest = sys.argv[1:]
    if word == "prepare":
        prepare(rest[0], rest[1], int(rest[2]))
    else:
        measure(word, rest[0], *map(int, rest[1:]))
