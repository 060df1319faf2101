"""Tiny random-weight encoders and encoder-decoders, by several exporters, with what ONNX Runtime computes for them.

usage: encoders.py FIXTURES [GROUP/NAME]  torch.export, TorchScript and transformers' own exporter; all when none is named
       encoders.py FIXTURES --optimum     Optimum, which needs an environment of its own (see README.md)
writes FIXTURES/encoders/NAME/{model.onnx, CASE/{give,want}/TENSOR.npy}
       FIXTURES/encoder_decoders/NAME/{encoder,decoder…}.onnx, CASE/*.npy
"""
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
import transformers as t

from tiny import VOCAB, randomise, store

LAYERS, HEADS, WIDTH, STEPS, SEED = 2, 4, 32, 6, 7
TOKENS = ("input_ids", "decoder_input_ids")  # what the decoder's tokens are called
MASKS = {
    "whole": np.ones((2, 9), np.int64),
    "padded_right": np.array([[1] * 9, [1] * 6 + [0] * 3], np.int64),
    "padded_left": np.array([[0] * 2 + [1] * 7, [0] * 4 + [1] * 5], np.int64),
}


def bert():
    config = t.BertConfig(
        vocab_size=VOCAB, hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=LAYERS, num_attention_heads=HEADS, max_position_embeddings=64
    )
    return randomise(t.BertModel(config), SEED)


def t5():
    config = t.T5Config(
        vocab_size=VOCAB, d_model=WIDTH, d_kv=WIDTH // HEADS, d_ff=64, num_layers=LAYERS, num_heads=HEADS, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1
    )
    return randomise(t.T5ForConditionalGeneration(config), SEED)


class Named(torch.nn.Module):
    """A model whose inputs are by position and whose outputs are a tuple."""

    def __init__(self, model, call):
        super().__init__()
        self.model, self.call = model, call

    def forward(self, *inputs):
        return self.call(self.model, *inputs)


def export(path: Path, module, inputs: dict, outputs: dict, dynamo: bool) -> None:
    """`inputs`: name -> (example, names of its dynamic axes); `outputs`: name -> names of its dynamic axes."""
    tensors = tuple(example.clone() for example, _ in inputs.values())  # torch.export takes one tensor for one input
    names = dict(input_names=list(inputs), output_names=list(outputs))
    with torch.no_grad():
        if dynamo:
            shapes = (tuple(axes for _, axes in inputs.values()),)
            program = torch.onnx.export(module, tensors, dynamo=True, dynamic_shapes=shapes, opset_version=20, verbose=False, **names)
            program.save(path)
        else:
            axes = {name: axes for name, (_, axes) in inputs.items()} | outputs
            torch.onnx.export(module, tensors, path, dynamo=False, dynamic_axes=axes, opset_version=17, **names)


def export_bert(folder: Path, dynamo: bool) -> None:
    def call(model, ids, mask, types):
        out = model(input_ids=ids, attention_mask=mask, token_type_ids=types)
        return out.last_hidden_state, out.pooler_output

    axes = {0: "batch_size", 1: "sequence_length"}
    ones = torch.ones(2, 7, dtype=torch.int64)
    inputs = {name: (ones, axes) for name in ("input_ids", "attention_mask", "token_type_ids")}
    outputs = {"last_hidden_state": axes, "pooler_output": {0: "batch_size"}}
    export(folder / "model.onnx", Named(bert(), call).eval(), inputs, outputs, dynamo)


def export_t5(folder: Path, dynamo: bool) -> None:
    """The encoder returns the keys and values that the decoder's layers see of it; the decoder takes them as they are."""
    from transformers import DynamicCache, EncoderDecoderCache

    def encode(model, ids, mask):
        hidden = model.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        found = []
        for block in model.decoder.block:
            attention = block.layer[1].EncDecAttention
            for project in (attention.k, attention.v):
                found.append(project(hidden).view(hidden.shape[0], -1, HEADS, WIDTH // HEADS).transpose(1, 2))
        return tuple(found)

    def decode(model, ids, mask, *caches):
        own, cross = DynamicCache(), DynamicCache()
        for layer in range(LAYERS):
            own.update(*caches[4 * layer : 4 * layer + 2], layer)
            cross.update(*caches[4 * layer + 2 : 4 * layer + 4], layer)
        cache = EncoderDecoderCache(own, cross)
        cache.is_updated = dict.fromkeys(range(LAYERS), True)
        hidden = mask.unsqueeze(-1).to(torch.float32).expand(-1, -1, WIDTH)
        out = model.decoder(input_ids=ids, encoder_hidden_states=hidden, encoder_attention_mask=mask, past_key_values=cache, use_cache=True)
        own = out.past_key_values.self_attention_cache
        logits = model.lm_head(out.last_hidden_state * model.model_dim**-0.5 if model.config.tie_word_embeddings else out.last_hidden_state)
        return logits, *(tensor for layer in own.layers for tensor in (layer.keys, layer.values))

    model = t5()
    length, tokens = {0: "batch_size", 1: "encoder_sequence_length"}, {0: "batch_size", 1: "sequence_length"}
    seen, past, total = ({0: "batch_size", 2: n} for n in ("encoder_sequence_length", "past_sequence_length", "total_sequence_length"))
    ones = torch.ones(2, 7, dtype=torch.int64)
    kinds = [(layer, side, kind) for layer in range(LAYERS) for side in ("decoder", "encoder") for kind in ("key", "value")]
    inputs = {name: (ones, length) for name in ("input_ids", "attention_mask")}
    outputs = {f"present.{n}.encoder.{kind}": seen for n, side, kind in kinds if side == "encoder"}
    export(folder / "encoder_model.onnx", Named(model, encode).eval(), inputs, outputs, dynamo)
    inputs = {"input_ids": (ones[:, :3].contiguous(), tokens), "encoder_attention_mask": (ones, length)}
    for n, side, kind in kinds:
        size, axes = (5, past) if side == "decoder" else (7, seen)
        inputs[f"past_key_values.{n}.{side}.{kind}"] = (torch.randn(2, HEADS, size, WIDTH // HEADS), axes)
    outputs = {"logits": tokens} | {f"present.{n}.decoder.{kind}": total for n, side, kind in kinds if side == "decoder"}
    export(folder / "decoder_with_past_model.onnx", Named(model, decode).eval(), inputs, outputs, dynamo)


def export_optimum(folder: Path, model, task: str) -> None:
    from optimum.exporters.onnx import onnx_export_from_model

    onnx_export_from_model(model, folder, task=task, do_validation=False)


def export_transformers(path: Path, model, inputs: dict) -> None:
    import onnx_ir
    from transformers.exporters.exporter_onnx import OnnxConfig, OnnxExporter

    program, _ = OnnxExporter().export_program(model, inputs, OnnxConfig(dynamic=True, opset_version=20))
    onnx_ir.save(program, path)


def export_bert_transformers(folder: Path) -> None:
    ones = torch.ones(2, 7, dtype=torch.int64)
    names = ("input_ids", "attention_mask", "token_type_ids")
    export_transformers(folder / "model.onnx", bert(), {name: ones.clone() for name in names})


def export_t5_transformers(folder: Path) -> None:
    """The encoder; the decoder of the first step, whose cache is empty; the decoder of the others."""
    from transformers import DynamicCache, EncoderDecoderCache

    model = t5()
    ones = torch.ones(2, 7, dtype=torch.int64)
    prompt = {"input_ids": ones.clone(), "attention_mask": ones.clone()}
    export_transformers(folder / "encoder_model.onnx", model.get_encoder(), prompt)
    with torch.no_grad():
        encoded = model.get_encoder()(**prompt)
    given = {"encoder_outputs": encoded, "attention_mask": ones.clone(), "decoder_input_ids": ones[:, :3].clone(), "use_cache": True}
    export_transformers(folder / "decoder_model.onnx", model, given)
    with torch.no_grad():
        past = model(**given | {"past_key_values": EncoderDecoderCache(DynamicCache(), DynamicCache())}).past_key_values
    given |= {"decoder_input_ids": ones[:, :2].clone(), "past_key_values": past}
    export_transformers(folder / "decoder_with_past_model.onnx", model, given)


def session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 2, 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(model: ort.InferenceSession, given: dict) -> dict:
    names = [o.name for o in model.get_outputs()]
    return dict(zip(names, model.run(names, {i.name: given[i.name] for i in model.get_inputs()})))


def save(folder: Path, arrays: dict) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)


def record_encoder(folder: Path) -> None:
    model = session(folder / "model.onnx")
    for case, mask in MASKS.items():
        ids = np.random.default_rng(1).integers(3, VOCAB, mask.shape) * mask
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": (np.arange(mask.shape[1]) > 4) * mask}
        save(folder / case / "give", given)
        save(folder / case / "want", run(model, given))


def record_decoder(folder: Path) -> None:
    """Greedy decoding of one prompt, and of one behind or before padding, with the logits of each step."""
    encoder, decoder = session(folder / "encoder_model.onnx"), session(folder / "decoder_with_past_model.onnx")
    first = folder / "decoder_model.onnx"
    for case, masks in MASKS.items():
        mask = masks[1:]
        ids = np.random.default_rng(1).integers(3, VOCAB, mask.shape) * mask
        known = run(encoder, {"input_ids": ids, "attention_mask": mask}) | dict.fromkeys(("encoder_attention_mask", "attention_mask"), mask)
        tokens, rows = [0], []
        if first.exists():
            known |= dict.fromkeys(("encoder_hidden_states", "encoder_outputs.last_hidden_state"), known["last_hidden_state"])
            known |= dict.fromkeys(TOKENS, np.array([tokens]))
            known |= run(session(first), known)
            rows.append(known["logits"][0, -1])
            tokens.append(int(rows[-1].argmax()))
        else:
            empty = np.zeros((1, HEADS, 0, WIDTH // HEADS), np.float32)
            known |= {f"present.{n}.decoder.{kind}": empty for n in range(LAYERS) for kind in ("key", "value")}
        while len(rows) < STEPS:
            known |= {name.replace("present", "past_key_values"): known[name] for name in list(known) if "present" in name}
            known |= {f"input.{name.removeprefix('output.')}": known[name] for name in list(known) if "_cache.layers" in name and "input." not in name}
            known |= run(decoder, known | dict.fromkeys(TOKENS, np.array([tokens[-1:]])))
            rows.append(known["logits"][0, -1])
            tokens.append(int(rows[-1].argmax()))
        arrays = {"input_ids": ids[0], "attention_mask": mask[0], "tokens": np.array(tokens[:-1]), "logits": np.array(rows)}
        save(folder / case, arrays)
        ordered = np.sort(np.array(rows), axis=1)
        print(f"{folder} {case}: {tokens}, least lead {(ordered[:, -1] - ordered[:, -2]).min():.3f}", flush=True)


JOBS = {
    "encoders/bert_dynamo20": lambda folder: export_bert(folder, True),
    "encoders/bert_ts17": lambda folder: export_bert(folder, False),
    "encoder_decoders/t5_dynamo20": lambda folder: export_t5(folder, True),
    "encoder_decoders/t5_ts17": lambda folder: export_t5(folder, False),
    "encoders/bert_hf20": export_bert_transformers,
    "encoder_decoders/t5_hf20": export_t5_transformers,
}
OPTIMUM_JOBS = {
    "encoders/bert_optimum": lambda folder: export_optimum(folder, bert(), "feature-extraction"),
    "encoder_decoders/t5_optimum": lambda folder: export_optimum(folder, t5(), "text2text-generation-with-past"),
}


def main(fixtures: Path, chosen: list[str]) -> None:
    warnings.filterwarnings("ignore")
    jobs = OPTIMUM_JOBS if "--optimum" in chosen else JOBS
    named = [name for name in chosen if name != "--optimum"]
    for name in named or jobs:
        job = jobs[name]
        with tempfile.TemporaryDirectory() as made:
            job(Path(made))
            shutil.rmtree(fixtures / name, ignore_errors=True)
            for path in sorted(Path(made).glob("*.onnx")):
                store(onnx.load(path), Path(made, "stored", path.name), "inline")
                (fixtures / name).mkdir(parents=True, exist_ok=True)
                shutil.move(Path(made, "stored", path.name), fixtures / name / path.name)
        (record_encoder if name.startswith("encoders") else record_decoder)(fixtures / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
