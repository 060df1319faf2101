#!/usr/bin/env python3
"""shapes.py FOLDER : graphs of well-known shapes, of two layers and without weights, to plan for; needs the `onnx` package.

They are in the form of onnxruntime-genai's builder: all sizes come from the weights. Made once and kept in bench/phones/shapes.
"""

import gzip
import pathlib
import sys

from onnx import TensorProto, helper

LAYERS, CONTEXT = 2, 4096
# hidden size, feed-forward size, heads, key heads, width of a head, vocabulary, activation
SHAPES = {
    "llama2_7b": (4096, 11008, 32, 32, 128, 32000, "silu"),
    "gemma_2b": (2048, 16384, 8, 1, 256, 256000, "gelu"),
}


def graph(name, hidden, wide, heads, shared, width, vocabulary, activation):
    nodes, weights = [], []

    def weight(label, *shape):
        tensor = TensorProto(name=label, data_type=TensorProto.FLOAT, dims=shape, data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="none.bin")
        tensor.external_data.add(key="offset", value="0")
        tensor.external_data.add(key="length", value=str(4 * shape[0] * (shape[1] if len(shape) > 1 else 1)))
        weights.append(tensor)
        return label

    def number(label, dtype, values):
        weights.append(helper.make_tensor(label, dtype, [len(values)] if isinstance(values, list) else [], values if isinstance(values, list) else [values]))
        return label

    def node(kind, inputs, outputs, domain="", **attributes):
        nodes.append(helper.make_node(kind, inputs, outputs, name=outputs[0], domain=domain, **attributes))
        return outputs[0]

    def product(x, label, columns, rows):
        return node("MatMul", [x, weight(f"{label}.weight", columns, rows)], [label])

    # Positions, as the attention operator wants them.
    one = number("one", TensorProto.INT64, [1])
    total = node("ReduceSum", ["attention_mask", one], ["total"], keepdims=0)
    last = node("Cast", [node("Sub", [total, one], ["last_i64"])], ["last"], to=TensorProto.INT32)
    shape = node("Shape", ["attention_mask"], ["mask_shape"])
    length = node("Gather", [shape, number("axis", TensorProto.INT64, 1)], ["length_i64"], axis=0)
    length = node("Cast", [length], ["length"], to=TensorProto.INT32)
    cos, sin = weight("cos_cache", CONTEXT, width // 2), weight("sin_cache", CONTEXT, width // 2)

    x = node("Gather", [weight("embedding.weight", vocabulary, hidden), "input_ids"], ["embedding"])
    if activation == "gelu":
        x = node("Mul", [x, number("embedding_scale", TensorProto.FLOAT, hidden**0.5)], ["scaled"])
    normed = node("SimplifiedLayerNormalization", [x, weight("norm.0.weight", hidden)], ["norm.0"], epsilon=1e-5, axis=-1, stash_type=1)
    for at in range(LAYERS):
        q = product(normed, f"q.{at}", hidden, heads * width)
        k = product(normed, f"k.{at}", hidden, shared * width)
        v = product(normed, f"v.{at}", hidden, shared * width)
        given = [q, k, v, f"past_key_values.{at}.key", f"past_key_values.{at}.value", last, length, cos, sin]
        made = [f"attention.{at}", f"present.{at}.key", f"present.{at}.value"]
        node("GroupQueryAttention", given, made, "com.microsoft", num_heads=heads, kv_num_heads=shared, do_rotary=1)
        out = product(made[0], f"out.{at}", heads * width, hidden)
        skip = [f"norm_ff.{at}", "", "", f"sum_ff.{at}"]
        node("SkipSimplifiedLayerNormalization", [x, out, weight(f"norm_ff.{at}.weight", hidden)], skip, "com.microsoft", epsilon=1e-5)
        gate, up = product(skip[0], f"gate.{at}", hidden, wide), product(skip[0], f"up.{at}", hidden, wide)
        if activation == "silu":
            active = node("Mul", [gate, node("Sigmoid", [gate], [f"sigmoid.{at}"])], [f"active.{at}"])
        else:
            active = node("Gelu", [gate], [f"active.{at}"], approximate="tanh")
        down = product(node("Mul", [active, up], [f"gated.{at}"]), f"down.{at}", wide, hidden)
        skip_out = [f"norm.{at + 1}", "", "", f"sum.{at + 1}"]
        node("SkipSimplifiedLayerNormalization", [skip[3], down, weight(f"norm.{at + 1}.weight", hidden)], skip_out, "com.microsoft", epsilon=1e-5)
        normed, x = skip_out[0], skip_out[3]
    product(normed, "logits", hidden, vocabulary)

    i64, f32 = TensorProto.INT64, TensorProto.FLOAT
    value = helper.make_tensor_value_info
    inputs = [value("input_ids", i64, ["batch", "seq"]), value("attention_mask", i64, ["batch", "total_length"])]
    outputs = [value("logits", f32, ["batch", "seq", vocabulary])]
    for at in range(LAYERS):
        for part in ("key", "value"):
            inputs.append(value(f"past_key_values.{at}.{part}", f32, ["batch", shared, "past", width]))
            outputs.append(value(f"present.{at}.{part}", f32, ["batch", shared, "total_length", width]))
    made = helper.make_graph(nodes, name, inputs, outputs, weights)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(made, opset_imports=opsets, ir_version=10)


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, shape in SHAPES.items():
        model = graph(name, *shape).SerializeToString()
        (folder / f"{name}.onnx.gz").write_bytes(gzip.compress(model, mtime=0))
