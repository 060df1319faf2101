"""A tiny Llama with its KV cache in each form that ONNX has, and what ONNX Runtime computes for it.

usage: caches.py FIXTURES      writes FIXTURES/caches/NAME/{model.onnx, expected/*.npy, expected_padded/*.npy}

static20, static24   transformers' StaticCache: ScatterND into caches of LENGTH positions, counted by an input
attention23          Attention takes past keys and values itself
scatter24            TensorScatter into caches of any length, Attention with the number of keys in use
scatter24_fixed      the same with LENGTH positions
circular24           a Mistral that sees WINDOW positions, and TensorScatter around and around into caches of as many
"""
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from transformers import MistralConfig, MistralForCausalLM
from onnx import TensorProto, helper, numpy_helper

import decoder
import tiny
from dialects import export_transformers
from tiny import VOCAB, llama, randomise, record, store

LENGTH, WINDOW = 32, 8


def export_static(path: Path, opset: int) -> None:
    import onnx_ir
    from transformers import StaticCache
    from transformers.exporters.exporter_onnx import OnnxConfig, OnnxExporter

    model, batch, past, sequence = llama(), 2, 5, 3
    cache = StaticCache(config=model.config, max_cache_len=LENGTH)
    with torch.no_grad():
        model(torch.randint(3, VOCAB, (batch, past)), past_key_values=cache)
    inputs = {
        "input_ids": torch.randint(3, VOCAB, (batch, sequence)),
        "attention_mask": torch.ones(batch, past + sequence, dtype=torch.int64),
        "position_ids": torch.arange(past, past + sequence).repeat(batch, 1),
        "past_key_values": cache,
    }
    program, _ = OnnxExporter().export_program(model, inputs, OnnxConfig(dynamic=True, opset_version=opset))
    onnx_ir.save(program, path)


def caches_of(graph: onnx.GraphProto) -> dict:
    """For each Attention node of transformers' opset-23 export, the two nodes that join its past and new positions."""
    made = {output: node for node in graph.node for output in node.output}

    def join(value: str) -> onnx.NodeProto:
        while made[value].op_type in ("Reshape", "Expand", "Unsqueeze"):
            value = made[value].input[0]
        assert made[value].op_type == "Concat", made[value].op_type
        return made[value]

    return {n.output[0]: (join(n.input[1]), join(n.input[2])) for n in graph.node if n.op_type == "Attention"}


def rewrite(path: Path, change) -> None:
    """Export at opset 23 or 24 and change every Attention node and its cache."""
    export_transformers(path, llama(), 23)
    model = onnx.load(path)
    joins = caches_of(model.graph)
    gone = {id(j) for pair in joins.values() for j in pair}
    nodes = []
    roomy = change.__name__ == "scattered"
    for node in model.graph.node:
        if roomy and node.op_type == "Shape" and "past" in node.input[0] and starts_at(node) == 2:
            # The length of a cache with room says nothing: where it is written does.
            nodes.append(helper.make_node("Identity", ["write_indices"], node.output, name=node.name))
        elif node.op_type == "Attention":
            nodes += change(model, node, joins[node.output[0]])
        elif id(node) not in gone:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    prune(model.graph)
    onnx.save(model, path)


def starts_at(node: onnx.NodeProto) -> int:
    return next((a.i for a in node.attribute if a.name == "start"), 0)


def prune(graph: onnx.GraphProto) -> None:
    """Drop nodes that no output needs."""
    needed, kept = {o.name for o in graph.output}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))


def past_inputs(model, node, joins):
    key, value = joins
    attributes = [a for a in node.attribute if a.name in ("scale", "softcap")]
    inputs = [node.input[0], key.input[1], value.input[1], node.input[3], key.input[0], value.input[0]]
    outputs = [node.output[0], key.output[0], value.output[0]]
    new = helper.make_node("Attention", inputs, outputs, name=node.name)
    new.attribute.extend(attributes)
    return [new]


def scatters(length):
    def scattered(model, node, joins):
        graph = model.graph
        model.opset_import[0].version = 24
        names = {i.name for i in graph.input}
        if "write_indices" not in names:
            graph.initializer.append(numpy_helper.from_array(np.zeros(7, np.int64), "seven_zeros"))
            graph.initializer.append(numpy_helper.from_array(np.array(-np.inf, np.float32), "hidden"))
        for name in ("write_indices", "nonpad_kv_seqlen"):
            if name not in names:
                graph.input.append(helper.make_tensor_value_info(name, TensorProto.INT64, ["batch"]))
        made = []
        for join in joins:
            port = next(i for i in graph.input if i.name == join.input[0])
            size = port.type.tensor_type.shape.dim[2]
            size.Clear()
            setattr(size, "dim_value" if length else "dim_param", length or "max_length")
            present = next(o for o in graph.output if o.name == join.output[0])
            present.type.tensor_type.shape.dim[2].CopyFrom(size)
            inputs = [join.input[0], join.input[1], "write_indices"]
            made.append(helper.make_node("TensorScatter", inputs, [join.output[0]], name=join.name, axis=2))
        mask, name = node.input[3], f"{node.name}.mask"
        made += [
            helper.make_node("Shape", [joins[0].input[0]], [f"{name}.room"], start=2, end=3),
            helper.make_node("Shape", [mask], [f"{name}.width"], start=3, end=4),
            helper.make_node("Sub", [f"{name}.room", f"{name}.width"], [f"{name}.behind"]),
            helper.make_node("Concat", ["seven_zeros", f"{name}.behind"], [f"{name}.pads"], axis=0),
            helper.make_node("Pad", [mask, f"{name}.pads", "hidden"], [name]),
        ]
        inputs = [node.input[0], joins[0].output[0], joins[1].output[0], name, "", "", "nonpad_kv_seqlen"]
        new = helper.make_node("Attention", inputs, node.output, name=node.name)
        new.attribute.extend(a for a in node.attribute if a.name in ("scale", "softcap"))
        return [*made, new]

    return scattered


def mistral():
    config = MistralConfig(
        vocab_size=VOCAB, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=256, sliding_window=WINDOW, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )
    return randomise(MistralForCausalLM(config))


def visible_slots(graph: onnx.GraphProto) -> str:
    """Nodes that say which slots a query sees: the position in slot j is the last one that is j, but for whole windows."""
    for name, value in (("slots", np.arange(WINDOW)), ("window", np.array(WINDOW)), ("one", np.array(1)), ("zero", np.array(0)), ("axes_01", np.array([0, 1])), ("axis_1", np.array([1]))):
        graph.initializer.append(numpy_helper.from_array(value.astype(np.int64), f"ring.{name}"))
    steps = [
        ("Shape", ["input_ids"], "new_", dict(start=1, end=2)),
        ("Squeeze", ["ring.new_"], "new", {}),
        ("Squeeze", ["write_indices"], "past", {}),
        ("Add", ["ring.past", "ring.new"], "total", {}),
        ("Sub", ["ring.total", "ring.one"], "last", {}),
        ("Sub", ["ring.last", "ring.slots"], "behind", {}),
        ("Mod", ["ring.behind", "ring.window"], "back", {}),
        ("Sub", ["ring.last", "ring.back"], "held", {}),  # [WINDOW]: the position in each slot
        ("Range", ["ring.past", "ring.total", "ring.one"], "asking_", {}),
        ("Unsqueeze", ["ring.asking_", "ring.axis_1"], "asking", {}),  # [new, 1]
        ("Sub", ["ring.asking", "ring.window"], "gone", {}),
        ("LessOrEqual", ["ring.held", "ring.asking"], "causal", {}),
        ("Greater", ["ring.held", "ring.gone"], "near", {}),
        ("GreaterOrEqual", ["ring.held", "ring.zero"], "filled", {}),
        ("And", ["ring.causal", "ring.near"], "both", {}),
        ("And", ["ring.both", "ring.filled"], "seen", {}),
        ("Unsqueeze", ["ring.seen", "ring.axes_01"], "mask", {}),
    ]
    graph.node.extend(helper.make_node(op, inputs, [f"ring.{out}"], name=f"ring.{out}", **attributes) for op, inputs, out, attributes in steps)
    return "ring.mask"


def export_circular(path: Path) -> None:
    export_transformers(path, mistral(), 23)
    model = onnx.load(path)
    model.opset_import[0].version = 24
    graph = model.graph
    joins = caches_of(graph)
    old = list(graph.node)
    del graph.node[:]
    graph.input.append(helper.make_tensor_value_info("write_indices", TensorProto.INT64, ["batch"]))
    mask = visible_slots(graph)
    gone = {id(j) for pair in joins.values() for j in pair}
    for node in old:
        if node.op_type == "Shape" and "past" in node.input[0] and starts_at(node) == 2:
            graph.node.append(helper.make_node("Identity", ["write_indices"], node.output, name=node.name))
        elif node.op_type == "Attention":
            for join in joins[node.output[0]]:
                for port in [*graph.input, *graph.output]:
                    if port.name in (join.input[0], join.output[0]):
                        size = port.type.tensor_type.shape.dim[2]
                        size.Clear()
                        size.dim_value = WINDOW
                inputs = [join.input[0], join.input[1], "write_indices"]
                graph.node.append(helper.make_node("TensorScatter", inputs, [join.output[0]], name=join.name, axis=2, mode="circular"))
            key, value = joins[node.output[0]]
            new = helper.make_node("Attention", [node.input[0], key.output[0], value.output[0], mask], node.output, name=node.name)
            new.attribute.extend(a for a in node.attribute if a.name in ("scale", "softcap"))
            graph.node.append(new)
        elif node.op_type == "Where" and node.input[2] in joins:
            # No guard for a query that sees nothing: each sees itself.
            graph.node.append(helper.make_node("Identity", node.input[2:], node.output, name=node.name))
        elif id(node) not in gone:
            graph.node.append(node)
    prune(graph)
    for unused in [i for i in graph.input if i.name == "attention_mask" or "sliding_window" in i.name]:
        graph.input.remove(unused)
    for unused in [o for o in graph.output if "sliding_window" in o.name]:
        graph.output.remove(unused)
    prune(graph)
    onnx.save(model, path)


def record_circular(path: Path) -> str:
    """Token by token, which alone gives every query all that it may see; the growing cache must give the same."""
    prompt = np.random.default_rng(0).integers(3, VOCAB, tiny.PROMPT)

    class OneByOne(RoomyDecoder):
        def step(self, tokens):
            return np.concatenate([super(OneByOne, self).step(np.array([t])) for t in tokens])

    found = decoder.continuation(OneByOne(path), prompt, 3 * WINDOW)
    decoder.save(path.parent / "expected", found)
    with tempfile.TemporaryDirectory() as folder:
        grown = Path(folder, "model.onnx")
        export_transformers(grown, mistral(), 23)
        want = decoder.continuation(decoder.Decoder(grown, head_dim=8), prompt, 3 * WINDOW)
    apart = max(np.abs(found[k] - want[k]).max() for k in ("prefill_logits", "decode_logits"))
    assert apart < 1e-4, apart
    return f"{path.parent}: {apart:.1e} from the growing cache, {found['decode_tokens']}"


class RoomyDecoder(decoder.Decoder):
    """Caches that have room from the start, and inputs that say how much of them is in use."""

    def reset(self, padding: int = 0) -> None:
        self.mask = np.zeros((1, 0), np.int64)
        self.padding = padding
        self.past_names = [n for n in self.inputs if "past" in n and len(self.inputs[n].shape) == 4]
        self.past = {}
        for name in self.past_names:
            _, heads, size, width = self.inputs[name].shape
            room = LENGTH if size == "max_length" else int(size) if str(size).isdigit() else 0
            self.past[name] = np.zeros((1, int(heads), room, int(width)), np.float32)

    def feed(self, tokens):
        before = self.mask.shape[1]
        values = super().feed(tokens)
        for name, info in self.inputs.items():
            if name.endswith("cumulative_length"):
                values[name] = np.array(before, np.int64).reshape([1] * len(info.shape))
        counts = {"write_indices": before, "nonpad_kv_seqlen": before + len(tokens)}
        return values | {n: np.array([c], np.int64) for n, c in counts.items() if n in self.inputs}


JOBS = {
    "static20": lambda path: export_static(path, 20),
    "static24": lambda path: export_static(path, 24),
    "attention23": lambda path: rewrite(path, past_inputs),
    "scatter24": lambda path: rewrite(path, scatters(None)),
    "scatter24_fixed": lambda path: rewrite(path, scatters(LENGTH)),
    "circular24": export_circular,
}


def main(fixtures: Path) -> None:
    warnings.filterwarnings("ignore")
    tiny.Decoder = RoomyDecoder
    for name, job in JOBS.items():
        path = fixtures / "caches" / name / "model.onnx"
        with tempfile.TemporaryDirectory() as folder:
            exported = Path(folder, "model.onnx")
            job(exported)
            store(onnx.load(exported), path, "inline")
        print((record_circular if name == "circular24" else record)(path), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
