"""Small cases of ONNX Runtime's own operators, with what its CPU kernels compute.

usage: contrib_cases.py FIXTURES     writes FIXTURES/contrib/OPERATOR.onnx

A file holds one graph with a node for each case. Node CASE reads and writes CASE/NAME; initializers that no node reads
hold what the inputs are given, give:CASE/NAME, and what the outputs are to be, want:CASE/NAME. Inputs that a model carries
are initializers of their own name. Outputs that mean nothing (rows of padding) are left out.
"""
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

MICROSOFT = "com.microsoft"
F16 = np.float16


class File:
    """The cases of one operator."""

    def __init__(self, name: str, domain: str = MICROSOFT):
        self.name, self.domain = name, domain
        self.random = np.random.default_rng(sum(name.encode()))
        self.nodes, self.inputs, self.outputs, self.tensors = [], [], [], []

    def floats(self, *shape, dtype=np.float32) -> np.ndarray:
        """Multiples of 1/64, which f16 holds."""
        return (np.round(self.random.normal(size=shape) * 64) / 64).astype(dtype)

    def codes(self, *shape) -> np.ndarray:
        return self.random.integers(0, 256, shape).astype(np.uint8)

    def case(self, case: str, inputs: dict, outputs: list, carried=(), want=None, meaningless=(), **attributes):
        """A node with `inputs` by name, None for one that is left out. `want` makes nodes of it that compute the same."""
        full = {name: f"{case}/{name}" for name in [*inputs, *outputs] if name}
        node = helper.make_node(
            self.name,
            ["" if inputs[name] is None else full[name] for name in inputs],
            [full.get(name, "") for name in outputs],
            name=case,
            domain=self.domain,
            **attributes,
        )
        given = {name: value for name, value in inputs.items() if value is not None}
        infos = [
            helper.make_tensor_value_info(full[name], helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in given.items()
            if name not in carried
        ]
        constants = [numpy_helper.from_array(given[name], full[name]) for name in carried if name in given]
        found = run([node], infos, constants, {full[n]: v for n, v in given.items() if n not in carried}, want)
        names = [name for name in outputs if name]
        found = [(name, value) for name, value in zip(names, found) if name not in meaningless]
        self.nodes.append(node)
        self.inputs += infos
        self.tensors += constants
        self.tensors += [
            numpy_helper.from_array(given[name], f"give:{full[name]}") for name in given if name not in carried
        ]
        for name, value in found:
            dtype = helper.np_dtype_to_tensor_dtype(value.dtype)
            self.outputs.append(helper.make_tensor_value_info(full[name], dtype, value.shape))
            self.tensors.append(numpy_helper.from_array(value, f"want:{full[name]}"))

    def save(self, folder: Path) -> None:
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.tensors)
        path = folder / f"{self.name}.onnx"
        onnx.save(model(graph), path)
        print(f"{path}: {len(self.nodes)} cases, {path.stat().st_size} bytes")


def model(graph) -> onnx.ModelProto:
    opsets = [helper.make_opsetid("", 22), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def run(nodes: list, infos: list, constants: list, feed: dict, want=None) -> list:
    """What the runtime computes, unoptimised."""
    names = [name for name in nodes[-1].output if name]
    if want:
        nodes = want(nodes[-1])
    outputs = [helper.make_empty_tensor_value_info(name) for name in names]
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    graph = helper.make_graph(nodes, "case", infos, outputs, constants)
    session = ort.InferenceSession(model(graph).SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(names, feed)


def elementwise(folder: Path) -> None:
    file = File("Gelu")
    file.case("plain", {"x": file.floats(3, 17)}, ["y"])
    file.save(folder)
    file = File("QuickGelu")
    file.case("the default alpha", {"x": file.floats(3, 17)}, ["y"])
    file.case("alpha", {"x": file.floats(3, 17)}, ["y"], alpha=0.5)
    file.save(folder)
    file = File("FastGelu")
    file.case("plain", {"x": file.floats(3, 16)}, ["y"])
    file.case("bias", {"x": file.floats(2, 3, 16), "bias": file.floats(16)}, ["y"])
    file.save(folder)
    file = File("BiasGelu")
    file.case("bias", {"x": file.floats(2, 3, 16), "bias": file.floats(16)}, ["y"])
    file.save(folder)


def norms(folder: Path) -> None:
    file = File("SimplifiedLayerNormalization", "")
    for dtype in [np.float32, F16]:
        x, weight = file.floats(2, 3, 16, dtype=dtype), file.floats(16, dtype=dtype)
        inputs = {"x": x, "weight": weight}
        file.case(f"{x.dtype}", inputs, ["y"], carried=["weight"], axis=-1, epsilon=1e-5, stash_type=1)
    file.save(folder)
    for name, simple in [("SkipSimplifiedLayerNormalization", True), ("SkipLayerNormalization", False)]:
        file = File(name)
        for dtype in [np.float32, F16]:
            for biases, skip in [(0, (2, 3, 16)), (1, (2, 3, 16))] + ([] if simple else [(2, (1, 3, 16)), (2, (3, 16))]):
                names = ["bias"] if simple else ["beta", "bias"]
                inputs = {"x": file.floats(2, 3, 16, dtype=dtype), "skip": file.floats(*skip, dtype=dtype)}
                inputs["weight"] = file.floats(16, dtype=dtype)
                inputs |= {name: file.floats(16, dtype=dtype) for name in names[:biases]}
                case = f"{np.dtype(dtype)}, {biases} biases, skip {skip}"
                file.case(case, inputs, ["y", "", "", "sum"], carried=["weight", *names], epsilon=1e-5)
        file.case("the default epsilon", inputs, ["y"], carried=["weight", *names])
        file.save(folder)


def rotary_embedding(folder: Path) -> None:
    file = File("RotaryEmbedding")
    ids = file.random.integers(0, 20, (2, 3))
    offset = np.array([5])

    def case(name, shape, positions, half, **attributes):
        inputs = {"x": file.floats(*shape), "ids": positions, "cos": file.floats(20, half), "sin": file.floats(20, half)}
        file.case(name, inputs, ["y"], carried=["cos", "sin"], **attributes)

    case("heads in front", (2, 4, 3, 8), ids, 4)
    case("heads in front, offset", (2, 4, 3, 8), offset, 4)
    case("flat", (2, 3, 32), ids, 4)
    case("flat, offset, interleaved", (2, 3, 32), offset, 4, interleaved=1)
    case("flat, heads given", (2, 3, 32), ids, 4, num_heads=4)
    case("flat, partial", (2, 3, 32), ids, 4, num_heads=2, rotary_embedding_dim=8)
    case("heads in front, partial, interleaved", (2, 2, 3, 16), ids, 4, num_heads=2, rotary_embedding_dim=8, interleaved=1)
    file.save(folder)


def multi_head_attention(folder: Path) -> None:
    file = File("MultiHeadAttention")
    floats = file.floats
    names = ["query", "key", "value", "bias", "key_padding_mask", "attention_bias", "past_key", "past_value"]
    outputs = ["output", "present_key", "present_value"]

    def case(name, keys=5, attributes={}, wanted=outputs, **more):
        inputs = {"query": floats(2, 3, 32), "key": floats(2, keys, 32), "value": floats(2, keys, 32)} | more
        inputs = {name: inputs.get(name) for name in names if name in inputs or any(n in inputs for n in names[names.index(name) :])}
        file.case(name, inputs, wanted, num_heads=4, **attributes)

    padding = np.array([[1, 1, 0, 1, 1], [0, 0, 1, 1, 1]], np.int32)
    past = {"past_key": floats(2, 4, 4, 8), "past_value": floats(2, 4, 4, 8)}
    case("cross")
    case("bias", bias=floats(96))
    case("narrow values", value=floats(2, 5, 16), wanted=["output"])
    case("padding", key_padding_mask=padding)
    case("padding for each query", key_padding_mask=file.random.integers(0, 2, (2, 3, 5)).astype(np.int32) | np.eye(3, 5, dtype=np.int32))
    case("padding lowered by 5", key_padding_mask=padding, attributes={"mask_filter_value": -5.0})
    case("keys in use", key_padding_mask=np.array([3, 5], np.int32))
    case("a bias of the scores", attention_bias=floats(1, 4, 3, 5))
    case("a bias for each batch, padding", attention_bias=floats(2, 1, 3, 5), key_padding_mask=padding)
    case("past", keys=3, **past)
    case("past, bias, padding", keys=3, bias=floats(96), key_padding_mask=np.array([[1] * 7, [0, 0, 0, 1, 1, 1, 1]], np.int32), **past)
    case("past, unidirectional", keys=3, attributes={"unidirectional": 1}, **past)
    case("unidirectional, scale", keys=3, attributes={"unidirectional": 1, "scale": 0.2})
    case("heads split off", key=floats(2, 4, 5, 8), value=floats(2, 4, 5, 8), wanted=["output"])
    case("heads split off, bias", key=floats(2, 4, 5, 8), value=floats(2, 4, 5, 8), bias=floats(96), wanted=["output"])
    file.save(folder)


GQA = ["query", "key", "value", "past_key", "past_value", "seqlens_k", "total_sequence_length", "cos_cache", "sin_cache"]
GQA += ["position_ids", "attention_bias", "head_sink", "k_scale", "v_scale", "q_norm_weight", "k_norm_weight"]


def without_norms(node) -> list:
    """The same by nodes that the CPU has: queries and keys normalised in front."""
    nodes, inputs = [], list(node.input)
    epsilon = next(a.f for a in node.attribute if a.name == "qk_norm_epsilon")
    case = node.name
    for at, weight in [(0, 14), (1, 15)]:
        wide, whole = f"{case}/wide{at}", f"{case}/normal{at}"
        constants = [f"{case}/heads{at}", f"{case}/flat{at}"]
        for name, shape in zip(constants, [[0, 0, -1, 16], [0, 0, -1]]):
            nodes.append(helper.make_node("Constant", [], [name], value_ints=shape))
        nodes += [
            helper.make_node("Reshape", [inputs[at], constants[0]], [wide]),
            helper.make_node("SimplifiedLayerNormalization", [wide, inputs[weight]], [wide + "n"], axis=-1, epsilon=epsilon),
            helper.make_node("Reshape", [wide + "n", constants[1]], [whole]),
        ]
        inputs[at] = whole
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute if a.name != "qk_norm_epsilon"}
    plain = helper.make_node(node.op_type, inputs[:9], node.output, name=case, domain=MICROSOFT, **attributes)
    return [*nodes, plain]


def group_query_attention(folder: Path) -> None:
    file = File("GroupQueryAttention")
    floats = file.floats

    def case(name, seq, past, last, total, rotary=True, meaningless=(), want=None, dtype=np.float32, half=8, width=16, packed=False, heads=2, more={}, **attributes):
        batch = len(last)
        inputs = dict.fromkeys(GQA)
        sizes = [heads * width, heads // 2 * width, heads // 2 * width]
        if packed:
            inputs["query"] = floats(batch, seq, sum(sizes), dtype=dtype)
        else:
            inputs |= {n: floats(batch, seq, s, dtype=dtype) for n, s in zip(GQA, sizes)}
        if past is not None:
            inputs |= {n: floats(batch, heads // 2, past, width, dtype=dtype) for n in GQA[3:5]}
        inputs["seqlens_k"] = np.array(last, np.int32)
        inputs["total_sequence_length"] = np.array(total, np.int32)
        if rotary:
            inputs |= {n: floats(32, half, dtype=dtype) for n in GQA[7:9]}
        inputs |= more
        while inputs[list(inputs)[-1]] is None:
            del inputs[list(inputs)[-1]]
        carried = ["cos_cache", "sin_cache", "q_norm_weight", "k_norm_weight"]
        attributes = {"num_heads": heads, "kv_num_heads": heads // 2, "do_rotary": int(rotary)} | attributes
        outputs = ["output", "present_key", "present_value"]
        file.case(name, inputs, outputs, carried=carried, want=want, meaningless=meaningless, **attributes)

    case("a prompt", 5, 0, [4, 4], 5)
    case("a prompt without a past", 5, None, [4], 5, rotary=False)
    case("a prompt padded on the right", 5, 0, [4, 2], 5, meaningless=["output"])
    case("one step", 1, 6, [6], 7)
    case("one step, batch of two", 1, 6, [6, 6], 7)
    case("one step, different lengths", 1, 6, [6, 3], 7)
    case("a chunk", 3, 6, [8], 9)
    case("a buffer with room, one step", 1, 10, [6, 3], 7)
    case("a buffer with room, chunk", 3, 12, [8], 9)
    case("a buffer with room, prompt", 5, 8, [4], 5)
    case("all in one", 3, 6, [8], 9, packed=True, heads=4)
    case("interleaved", 3, 6, [8], 9, rotary_interleaved=1)
    case("half of each head turned", 3, 6, [8], 9, width=32)
    case("no rotary, scale", 3, 6, [8], 9, rotary=False, scale=0.3)
    case("a window over a prompt", 6, 0, [5], 6, local_window_size=3)
    case("a window over a chunk", 3, 6, [8], 9, local_window_size=3)
    case("a window, different lengths", 1, 6, [6, 3], 7, local_window_size=3)
    case("softcap", 6, 0, [5], 6, softcap=0.7)
    case("a bias of the scores", 6, 0, [5, 5], 6, more={"attention_bias": floats(1, 1, 6, 6)})
    case("a bias, a window and room", 1, 10, [6], 7, local_window_size=3, softcap=0.7, more={"attention_bias": floats(1, 2, 1, 7)})
    case("given positions, different lengths", 1, 6, [6, 3], 7, more={"position_ids": np.array([[3], [9]])})
    case("given positions, chunk", 3, 6, [8], 9, more={"position_ids": np.array([[3, 1, 4]])})
    case("both directions", 3, 6, [8], 9, causal=0)
    norms = {"q_norm_weight": floats(16), "k_norm_weight": floats(16)}
    case("normalised", 3, 6, [8], 9, want=without_norms, more=norms, qk_norm_epsilon=1e-3)
    case("f16", 3, 6, [8], 9, packed=True, dtype=F16)
    file.save(folder)


def quantised(file: File, n: int, k: int, bits: int, block: int, zero_points: str, dtype, flat: bool) -> dict:
    """Codes, scales and zero points of a random matrix; `flat` as GatherBlockQuantized lays it out."""
    blocks = -(-k // block)
    per_row = k * bits // 8 if flat else blocks * block * bits // 8
    inputs = {"codes": file.codes(n, per_row) if flat else file.codes(n, blocks, block * bits // 8)}
    scales = (file.random.integers(1, 64, (n, blocks)) / 1024).astype(dtype)
    inputs["scales"] = scales
    if zero_points == "packed":
        inputs["zero_points"] = file.codes(n, -(-blocks * bits // 8))
    elif zero_points == "float":
        inputs["zero_points"] = (file.random.integers(0, 16 * 2 ** (bits - 4), (n, blocks)) + 0.25).astype(dtype)
    return inputs


def matmul_nbits(folder: Path) -> None:
    file = File("MatMulNBits")

    def case(name, n, k, bits, block, zero_points="", bias=False, dtype=np.float32, rows=(1, 3)):
        inputs = {"x": file.floats(*rows, k, dtype=dtype)} | quantised(file, n, k, bits, block, zero_points, dtype, False)
        if bias:
            inputs |= {name: inputs.get(name) for name in ["zero_points", "g_idx"]} | {"bias": file.floats(n, dtype=dtype)}
        carried = ["codes", "scales", "zero_points", "bias"]
        file.case(name, inputs, ["y"], carried=carried, K=k, N=n, bits=bits, block_size=block, accuracy_level=1)

    for block in [16, 32, 64, 128, 256]:
        case(f"4 bits, blocks of {block}", 7, 256, 4, block)
    case("4 bits, packed zero points", 9, 96, 4, 32, "packed")
    case("4 bits, float zero points", 9, 96, 4, 32, "float")
    case("4 bits, a short last block", 9, 72, 4, 32, "packed")
    case("4 bits, bias", 8, 64, 4, 32, bias=True)
    case("4 bits, bias and zero points", 8, 64, 4, 32, "packed", bias=True, rows=(5,))
    case("4 bits, f16", 8, 64, 4, 32, "packed", dtype=F16)
    case("8 bits", 9, 64, 8, 32)
    case("8 bits, packed zero points", 9, 96, 8, 32, "packed")
    case("8 bits, blocks of 16, bias", 9, 48, 8, 16, bias=True)
    file.save(folder)


def gather_block_quantized(folder: Path) -> None:
    file = File("GatherBlockQuantized")
    ids = np.array([[3, 0, 7], [7, 8, 1]])

    def case(name, bits, block, k, zero_points="", dtype=np.float32, indices=ids):
        parts = quantised(file, 9, k, bits, block, zero_points, dtype, True)
        inputs = {"codes": parts["codes"], "indices": indices} | {n: parts[n] for n in ["scales", "zero_points"] if n in parts}
        carried = ["codes", "scales", "zero_points"]
        file.case(name, inputs, ["y"], carried=carried, bits=bits, block_size=block, gather_axis=0, quantize_axis=1)

    case("4 bits", 4, 32, 96)
    case("4 bits, zero points", 4, 16, 96, "packed")
    case("4 bits, f16", 4, 32, 64, dtype=F16)
    case("8 bits", 8, 32, 64)
    case("8 bits, zero points, int32 indices from the back", 8, 32, 64, "packed", indices=np.array([-1, 4], np.int32))
    signed = numpy_helper.to_array(helper.make_tensor("t", onnx.TensorProto.INT4, (9, 32), file.random.integers(-8, 8, 9 * 32)))
    unsigned = numpy_helper.to_array(helper.make_tensor("t", onnx.TensorProto.UINT4, (9, 32), file.random.integers(0, 16, 9 * 32)))
    for name, codes in [("int4", signed), ("uint4", unsigned)]:
        points = codes[:, :2].copy()
        for with_points in [False, True]:
            inputs = {"codes": codes, "indices": ids, "scales": file.floats(9, 2)} | ({"zero_points": points} if with_points else {})
            case_name = f"{name}, zero points {with_points}"
            attributes = {"block_size": 16, "gather_axis": 0, "quantize_axis": 1}
            file.case(case_name, inputs, ["y"], carried=["codes", "scales", "zero_points"], **attributes)
    file.save(folder)


def main(fixtures: Path) -> None:
    folder = fixtures / "contrib"
    folder.mkdir(exist_ok=True)
    for write in [elementwise, norms, rotary_embedding, multi_head_attention, group_query_attention, matmul_nbits, gather_block_quantized]:
        write(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
