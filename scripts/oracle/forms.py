"""Export a decoder-only language model to ONNX, in each of the forms that PyTorch writes.

usage: forms.py HF_DIR OUT_DIR [FORM...]     writes OUT_DIR/FORM/model.onnx; all forms when none is named

Inputs  input_ids, attention_mask, position_ids, past_key_values.N.{key,value}
Outputs logits, present.N.{key,value}; batch, sequence and past are dynamic.
"""
import argparse
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, DynamicCache

BATCH, PAST, SEQUENCE = 2, 5, 3  # sizes of the example that is traced


@dataclass(frozen=True)
class Form:
    """One way of exporting: `dynamo` is torch.export, otherwise TorchScript."""

    dynamo: bool
    opset: int
    dtype: torch.dtype

    @property
    def name(self) -> str:
        half = "_fp16" if self.dtype == torch.float16 else ""
        return f"{'dynamo' if self.dynamo else 'ts'}{self.opset}{half}"


FORMS = {
    form.name: form
    for dtype in (torch.float32, torch.float16)
    for form in [Form(True, opset, dtype) for opset in (18, 20, 23)] + [Form(False, opset, dtype) for opset in (14, 20)]
}


class FlatCache(torch.nn.Module):
    """The model with its cache as a flat list of tensors [batch, kv_heads, past, head_dim], key and value by turns."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, position_ids, past):
        cache = DynamicCache()
        for layer in range(len(past) // 2):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        out = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=True,
        )
        present = [tensor for layer in out.past_key_values.layers for tensor in (layer.keys, layer.values)]
        return (out.logits, *present)


def example(model) -> tuple:
    """Inputs to trace with: every dynamic size is different and none is 0 or 1, which tracing would specialise."""
    config = model.config
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    cache = (BATCH, config.num_key_value_heads, PAST, head_dim)
    return (
        torch.randint(0, config.vocab_size, (BATCH, SEQUENCE)),
        torch.ones(BATCH, PAST + SEQUENCE, dtype=torch.int64),
        torch.arange(PAST, PAST + SEQUENCE).repeat(BATCH, 1),
        [torch.randn(cache, dtype=model.dtype) for _ in range(2 * config.num_hidden_layers)],
    )


def export(model, form: Form, path: Path) -> None:
    """Write `model`, which must be of `form.dtype`, to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    layers = range(model.config.num_hidden_layers)
    past = [f"past_key_values.{i}.{kind}" for i in layers for kind in ("key", "value")]
    present = [f"present.{i}.{kind}" for i in layers for kind in ("key", "value")]
    tokens = {0: "batch_size", 1: "sequence_length"}
    mask = {0: "batch_size", 1: "total_sequence_length"}
    old = {0: "batch_size", 2: "past_sequence_length"}
    new = {0: "batch_size", 2: "total_sequence_length"}
    common = dict(
        input_names=["input_ids", "attention_mask", "position_ids", *past],
        output_names=["logits", *present],
        opset_version=form.opset,
    )
    module, inputs = FlatCache(model).eval(), example(model)
    with torch.no_grad():
        if form.dynamo:
            shapes = dict(input_ids=tokens, attention_mask=mask, position_ids=tokens, past=[old] * len(past))
            program = torch.onnx.export(module, inputs, dynamo=True, dynamic_shapes=shapes, verbose=False, **common)
            program.save(path, external_data=True)
        else:
            axes = dict(input_ids=tokens, attention_mask=mask, position_ids=tokens, logits=tokens)
            axes |= dict.fromkeys(past, old) | dict.fromkeys(present, new)
            torch.onnx.export(module, inputs, path, dynamo=False, dynamic_axes=axes, **common)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("hf_dir", type=Path)
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("form", nargs="*", choices=[[], *FORMS], default=[])
    args = parser.parse_args()
    torch.set_num_threads(2)
    warnings.filterwarnings("ignore")
    for name in args.form or FORMS:
        model = AutoModelForCausalLM.from_pretrained(args.hf_dir, dtype=FORMS[name].dtype).eval()
        path = args.out_dir / name / "model.onnx"
        export(model, FORMS[name], path)
        print(path, flush=True)


if __name__ == "__main__":
    main()
