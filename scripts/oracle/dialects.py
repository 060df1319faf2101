"""Tiny models in the dialects of other exporters, with what ONNX Runtime computes for them.

usage: dialects.py FIXTURES                 transformers' own exporter
       dialects.py FIXTURES --optimum       Optimum, which needs an environment of its own (see README.md)
       dialects.py FIXTURES --genai         the model builder of onnxruntime-genai
       dialects.py FIXTURES --quantised     llama_20 with its weights quantised by ONNX Runtime's tools
writes FIXTURES/dialects/NAME/{model.onnx, expected/*.npy}
"""
import json
import subprocess
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from transformers import DynamicCache, Gemma3ForCausalLM, Gemma3TextConfig, Phi3Config, Phi3ForCausalLM
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

from contrib_cases import without_norms
from decoder import Decoder
from forms import FORMS, export
from tiny import VOCAB, llama, randomise, record, store

SMALL = dict(
    vocab_size=VOCAB,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
    tie_word_embeddings=True,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
)


def qwen2():
    return randomise(Qwen2ForCausalLM(Qwen2Config(**SMALL)), seed=12)


def qwen3():
    return randomise(Qwen3ForCausalLM(Qwen3Config(**SMALL, head_dim=16)), seed=4)


def phi3():
    return randomise(Phi3ForCausalLM(Phi3Config(**SMALL)), seed=17)


def gemma3():
    layers = ["sliding_attention", "full_attention"]
    config = Gemma3TextConfig(**SMALL, head_dim=16, query_pre_attn_scalar=16, sliding_window=8, layer_types=layers)
    return randomise(Gemma3ForCausalLM(config), seed=21)


def export_transformers(path: Path, model, opset: int, fusions: str | None = None) -> None:
    import onnx_ir
    from transformers.exporters.exporter_onnx import OnnxConfig, OnnxExporter

    batch, past, sequence = 2, 5, 3
    with torch.no_grad():
        cache = model(torch.randint(3, VOCAB, (batch, past)), past_key_values=DynamicCache(config=model.config))
    inputs = {
        "input_ids": torch.randint(3, VOCAB, (batch, sequence)),
        "attention_mask": torch.ones(batch, past + sequence, dtype=torch.int64),
        "position_ids": torch.arange(past, past + sequence).repeat(batch, 1),
        "past_key_values": cache.past_key_values,
    }
    config = OnnxConfig(dynamic=True, opset_version=opset, ort_fusions=fusions)
    program, _ = OnnxExporter().export_program(model, inputs, config)
    onnx_ir.save(program, path)


def export_optimum(path: Path, model) -> None:
    from optimum.exporters.onnx import onnx_export_from_model

    onnx_export_from_model(model, path.parent, task="text-generation-with-past", do_validation=False)


# transformers' own exporter gives Gemma a scalar cache input for each sliding layer, so forms.py exports that one
JOBS = {
    "llama_20": lambda path: export_transformers(path, llama(), 20),
    "llama_23": lambda path: export_transformers(path, llama(), 23),
    "llama_24": lambda path: export_transformers(path, llama(), 24),
    "llama_webgpu": lambda path: export_transformers(path, llama(), 20, "webgpu"),
    "qwen2_20": lambda path: export_transformers(path, qwen2(), 20),
    "qwen3_23": lambda path: export_transformers(path, qwen3(), 23),
    "phi3_20": lambda path: export_transformers(path, phi3(), 20),
    "gemma3_dynamo20": lambda path: export(gemma3(), FORMS["dynamo20"], path),
    "gemma3_dynamo23": lambda path: export(gemma3(), FORMS["dynamo23"], path),
}
OPTIMUM_JOBS = {
    "llama_optimum": lambda path: export_optimum(path, llama()),
    "qwen3_optimum": lambda path: export_optimum(path, qwen3()),
}


def state_rope_flat(config: Path) -> None:
    """The builder reads the rotary parameters of Gemma 3 as its checkpoints have them, of which transformers 5 makes one set
    for each kind of layer: both are stated."""
    stated = json.loads(config.read_text())
    rope = stated.get("rope_parameters") or {}
    if "full_attention" in rope:
        rope |= rope["full_attention"] | {"rope_local_base_freq": rope["sliding_attention"]["rope_theta"]}
        config.write_text(json.dumps(stated | {"rope_parameters": rope}))


def build_genai(path: Path, model, precision: str, provider: str, **options) -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({f"t{i}": i for i in range(VOCAB)}, unk_token="t0"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="t0", bos_token="t1", eos_token="t2")
    given, made = path.parent / "given", path.parent / "made"
    model.save_pretrained(given)
    state_rope_flat(given / "config.json")
    tokenizer.save_pretrained(given)
    command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", given, "-o", made]
    command += ["-p", precision, "-e", provider, "-c", path.parent]
    if options:
        command += ["--extra_options", *(f"{name}={value}" for name, value in options.items())]
    subprocess.run(command, check=True, capture_output=True)
    onnx.save(onnx.load(made / "model.onnx"), path)


def on_the_cpu(path: Path) -> Path:
    """The model with nodes in place of the normalisation that GroupQueryAttention has on GPUs only."""
    model = onnx.load(path)
    nodes = []
    for node in model.graph.node:
        normalised = node.op_type == "GroupQueryAttention" and len(node.input) > 14
        nodes += without_norms(node) if normalised else [node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, path.with_suffix(".cpu"))
    return path.with_suffix(".cpu")


# accuracy level 1: activations stay floats. The attention of these models takes padding to be on the right, behind the
# prompt, so that nothing is recorded behind padding.
GENAI_JOBS = {
    "llama_genai_int4": lambda path: build_genai(path, llama(), "int4", "cpu", accuracy_level=1),
    "llama_genai_int8": lambda path: build_genai(path, llama(), "int8", "cpu", accuracy_level=1, is_symmetric="false"),
    "llama_genai_graph": lambda path: build_genai(
        path, llama(), "int4", "webgpu", accuracy_level=1, block_size=64, use_webgpu_fp32="true", enable_webgpu_graph="true"
    ),
    "qwen3_genai_fp16": lambda path: build_genai(path, qwen3(), "fp16", "webgpu"),
}


def quantise(path: Path, source: Path, int8: dict | None = None, **options) -> None:
    """Codes with DequantizeLinear in place of each matrix: int8 or uint8 with scales along the axis that `int8` names, or
    one scale for all, and 4 bits otherwise."""
    from onnxruntime.quantization import QuantFormat
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    model = onnx.load(source)
    for name, axis in (int8 or {}).items():
        tensor = next(t for t in model.graph.initializer if t.name == name)
        weights = numpy_helper.to_array(tensor)
        others = None if axis is None else 1 - axis
        if axis is None:
            least, step = weights.min(), np.float32(np.ptp(weights) / 255)
            zero = np.round(-least / step).astype(np.uint8)
        else:
            step = (np.abs(weights).max(axis=others) / 127).astype(np.float32)
            zero = np.zeros(step.shape, np.int8)
        facing = step if axis is None else np.expand_dims(step, others)
        codes = np.clip(np.round(weights / facing) + zero.max(), np.iinfo(zero.dtype).min, np.iinfo(zero.dtype).max)
        parts = {f"{name}_codes": codes.astype(zero.dtype), f"{name}_scale": step, f"{name}_zero_point": zero}
        model.graph.initializer.remove(tensor)
        model.graph.initializer.extend(numpy_helper.from_array(np.asarray(a), n) for n, a in parts.items())
        axes = {} if axis is None else {"axis": axis}
        model.graph.node.insert(0, helper.make_node("DequantizeLinear", list(parts), [name], f"{name}_decoded", **axes))
    model.opset_import[0].version = max(model.opset_import[0].version, 21)  # the first with 4 bits
    quantizer = MatMulNBitsQuantizer(model, quant_format=QuantFormat.QDQ, **options)
    quantizer.process()
    onnx.save(quantizer.model.model, path)


QUANTISED_JOBS = {
    "llama_qdq_blocks": lambda path, source: quantise(path, source, block_size=64),
    "llama_qdq_channels": lambda path, source: quantise(
        path, source, {"lm_head.weight": 0, "val_446": None, "val_246": 1}, channel_wised_quantize=True, is_symmetric=True
    ),
}


def main(fixtures: Path, which: str) -> None:
    warnings.filterwarnings("ignore")
    torch.manual_seed(0)
    source = fixtures / "dialects" / "llama_20" / "model.onnx"
    quantised = {name: partial(job, source=source) for name, job in QUANTISED_JOBS.items()}
    jobs = {"": JOBS, "--optimum": OPTIMUM_JOBS, "--genai": GENAI_JOBS, "--quantised": quantised}
    for name, job in jobs[which].items():
        path = fixtures / "dialects" / name / "model.onnx"
        with tempfile.TemporaryDirectory() as folder:
            exported = Path(folder, "model.onnx")
            job(exported)
            store(onnx.load(exported), path, "inline")
        if which == "--genai":
            decoder = Decoder(on_the_cpu(path), head_dim=16)
            path.with_suffix(".cpu").unlink()
            print(record(path, decoder, padding=False), flush=True)
        else:
            print(record(path), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:3] or [""])
