"""Tiny random-weight Llama in each form of forms.py, with what ONNX Runtime computes for it.

usage: tiny.py FIXTURES     writes FIXTURES/tiny_llama/FORM/{model.onnx, weights, *.npy}
"""
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx.external_data_helper import set_external_data
from transformers import LlamaConfig, LlamaForCausalLM

from decoder import Decoder, continuation, greedy, save
from forms import FORMS, export

VOCAB, PROMPT, PADDING, DECODE_STEPS, GREEDY_STEPS = 128, 12, 3, 4, 16
LAYOUTS = {
    "dynamo18": "one file",
    "dynamo20": "inline",
    "dynamo23": "one file",
    "ts14": "file per tensor",
    "ts20": "inline",
    "dynamo20_fp16": "inline",
}


def randomise(model, seed: int = 3):
    """Seeded weights. With this scale and seed greedy decoding neither repeats a token nor comes near a tie."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=random)
            if "norm" in name:
                weight.copy_(1 + 0.1 * noise)
            else:
                weight.copy_(noise * (0.3 if "embed" in name else 2 * weight.shape[-1] ** -0.5))
    return model.eval()


def llama(dtype=torch.float32):
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    return randomise(LlamaForCausalLM(config)).to(dtype)


def store(model: onnx.ModelProto, path: Path, layout: str) -> None:
    """Write `model`, without the traces of the Python that made it, with its weights laid out as asked."""
    graphs = [model.graph, *model.functions]
    for owner in [model, *graphs, *(node for graph in graphs for node in graph.node)]:
        owner.ClearField("doc_string")
        owner.ClearField("metadata_props")
    for value in [*model.graph.value_info, *model.graph.input, *model.graph.output]:
        value.ClearField("metadata_props")
    del model.metadata_props[:]
    shutil.rmtree(path.parent, ignore_errors=True)  # onnx appends to external data that it finds
    path.parent.mkdir(parents=True)
    large = [tensor for tensor in model.graph.initializer if len(tensor.raw_data) >= 256]
    if layout == "file per tensor":
        (path.parent / "weights").mkdir(exist_ok=True)
    for number, tensor in enumerate(large):
        if layout == "one file":
            set_external_data(tensor, location="model.onnx.data")
        elif layout == "file per tensor":
            set_external_data(tensor, location=f"weights/{number:02}.bin")
    onnx.save(model, path)


def record(path: Path, decoder: Decoder | None = None, padding: bool = True) -> str:
    """Store what ONNX Runtime computes beside the model file."""
    decoder = decoder or Decoder(path)
    prompt = np.random.default_rng(0).integers(3, VOCAB, PROMPT)
    arrays = continuation(decoder, prompt, DECODE_STEPS)
    tokens, lead = greedy(decoder, prompt, GREEDY_STEPS)
    save(path.parent / "expected", arrays | {"greedy_tokens": tokens})
    if not padding:
        return f"{path.parent}: least greedy lead {lead:.3f}"
    padded = continuation(decoder, prompt, DECODE_STEPS, 0, PADDING)
    save(path.parent / "expected_padded", padded)
    shift = np.abs(padded["prefill_logits"][PADDING:] - arrays["prefill_logits"]).max()
    return f"{path.parent}: least greedy lead {lead:.3f}, padding moves logits by {shift:.1e}"


def main(fixtures: Path) -> None:
    warnings.filterwarnings("ignore")
    for name, layout in LAYOUTS.items():
        path = fixtures / "tiny_llama" / name / "model.onnx"
        with tempfile.TemporaryDirectory() as folder:
            exported = Path(folder, "model.onnx")
            export(llama(FORMS[name].dtype), FORMS[name], exported)
            store(onnx.load(exported), path, layout)
        print(record(path), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
