"""Tiny random-weight models of many architectures, exported by PyTorch, with what ONNX Runtime computes for them.

usage: architectures.py FIXTURES [NAME | NAME_FORM...] [--optimum]     writes FIXTURES/architectures/NAME_FORM/{model.onnx, expected/*.npy, …}

FORM is dynamo20 (torch.export) or ts17 (TorchScript), both with the cache as flat inputs, as in forms.py, hf20
(transformers' own exporter), genai_fp32 (the model builder of onnxruntime-genai, without padding, to which its attention
gives no meaning) or, with --optimum, optimum (see README.md). The experts of a mixture are gathered for each token (`batched_mm`), which every exporter
writes; in hf20_grouped they are sorted by expert, which only transformers' own does.
"""
import shutil
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

import onnx
import torch
import transformers as t

from decoder import Decoder
from dialects import build_genai, export_optimum, export_transformers
from forms import Form, export
from tiny import VOCAB, randomise, record, store

IDS = dict(bos_token_id=1, eos_token_id=2, pad_token_id=0)
BASE = dict(vocab_size=VOCAB, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, **IDS)
WINDOW = 8
GROUPED = dict(BASE, num_key_value_heads=2, max_position_embeddings=256)


def long_rope(pairs: int) -> dict:
    """Factors of the rotary frequencies, as 128k models have them: `long` where more positions are in use than in training."""
    short, long = [1 + 0.1 * i for i in range(pairs)], [1.5 + i for i in range(pairs)]
    return dict(type="longrope", short_factor=short, long_factor=long)


CONFIGS = {
    "gpt2": (t.GPT2LMHeadModel, lambda: t.GPT2Config(vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=4, n_positions=256, **IDS)),
    "llama": (t.LlamaForCausalLM, lambda: t.LlamaConfig(**GROUPED)),
    "mistral": (t.MistralForCausalLM, lambda: t.MistralConfig(**GROUPED, sliding_window=WINDOW)),
    "qwen2": (t.Qwen2ForCausalLM, lambda: t.Qwen2Config(**GROUPED)),
    "qwen3": (t.Qwen3ForCausalLM, lambda: t.Qwen3Config(**GROUPED, head_dim=16)),
    "gemma": (t.GemmaForCausalLM, lambda: t.GemmaConfig(**GROUPED, head_dim=16)),
    "gemma2": (
        t.Gemma2ForCausalLM,
        lambda: t.Gemma2Config(
            **GROUPED, head_dim=16, query_pre_attn_scalar=16, sliding_window=WINDOW, attn_logit_softcapping=5.0, final_logit_softcapping=3.0
        ),
    ),
    "gemma3": (
        t.Gemma3ForCausalLM,
        lambda: t.Gemma3TextConfig(
            **GROUPED, head_dim=16, query_pre_attn_scalar=16, sliding_window=WINDOW, layer_types=["sliding_attention", "full_attention"]
        ),
    ),
    "phi3": (t.Phi3ForCausalLM, lambda: t.Phi3Config(**GROUPED, original_max_position_embeddings=256)),  # as 4k models have it
    "phi3_long": (t.Phi3ForCausalLM, lambda: t.Phi3Config(**GROUPED, original_max_position_embeddings=14, rope_scaling=long_rope(4))),
    "glm": (t.GlmForCausalLM, lambda: t.GlmConfig(**GROUPED, head_dim=16, partial_rotary_factor=0.5)),
    "glm4": (t.Glm4ForCausalLM, lambda: t.Glm4Config(**GROUPED, head_dim=16, partial_rotary_factor=0.5)),
    "smollm3": (t.SmolLM3ForCausalLM, lambda: t.SmolLM3Config(**GROUPED, no_rope_layers=[1, 0])),
    "olmo2": (t.Olmo2ForCausalLM, lambda: t.Olmo2Config(**GROUPED)),
    "stablelm": (t.StableLmForCausalLM, lambda: t.StableLmConfig(**GROUPED, partial_rotary_factor=0.5)),
    "falcon": (
        t.FalconForCausalLM,
        lambda: t.FalconConfig(
            vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_kv_heads=2,
            new_decoder_architecture=True, max_position_embeddings=256, **IDS
        ),
    ),
    "bloom": (t.BloomForCausalLM, lambda: t.BloomConfig(vocab_size=VOCAB, hidden_size=32, n_layer=2, n_head=4, **IDS)),
    "qwen3_moe": (
        t.Qwen3MoeForCausalLM,
        lambda: t.Qwen3MoeConfig(**GROUPED, head_dim=16, moe_intermediate_size=24, num_experts=4, num_experts_per_tok=2),
    ),
    "mixtral": (t.MixtralForCausalLM, lambda: t.MixtralConfig(**GROUPED | dict(intermediate_size=24), num_local_experts=4, num_experts_per_tok=2)),
}
MIXTURES = ("qwen3_moe", "mixtral")
FORMS = {form.name: form for form in (Form(True, 20, torch.float32), Form(False, 17, torch.float32))}
OTHERS = ["hf20", "hf20_grouped", "genai_fp32"]
SEED = 3


def model_of(name: str, wide: bool = False, coarse: bool = False):
    """`wide` has heads of 16, the least that ONNX Runtime's attention turns; `coarse` has weights of few bits, which
    compress well."""
    kind, config = CONFIGS[name]
    config = config()
    if wide and (getattr(config, "head_dim", None) or 8) < 16:
        config.hidden_size, config.intermediate_size = 64, 32
        if "head_dim" in config.to_dict():
            config.head_dim = 16
        if name.startswith("phi3"):  # the builder takes a matrix with as many columns as the vocabulary for the head
            config.num_key_value_heads = 4
        if name == "phi3_long":
            config.rope_parameters |= long_rope(8)
    for missing, value in (("num_key_value_heads", "num_attention_heads"), ("intermediate_size", "hidden_size")):
        if not hasattr(config, missing):
            setattr(config, missing, getattr(config, value))
    if name == "falcon":
        config.num_key_value_heads = config.num_attention_heads  # it caches keys once they are repeated
    model = randomise(kind(config), SEED)
    if coarse:
        with torch.no_grad():
            for weight in model.parameters():
                weight.copy_((weight * 32).round() / 32)
    if name in MIXTURES and hasattr(model, "set_experts_implementation"):
        model.set_experts_implementation("batched_mm")
    return model


def export_as(form: str, name: str, path: Path) -> None:
    model = model_of(name, wide="genai" in form, coarse=form not in FORMS)
    if form in FORMS:
        return export(model, FORMS[form], path)
    if form == "optimum":
        return export_optimum(path, model)
    if form == "genai_fp32":
        return build_genai(path, model, "fp32", "cpu")
    if form == "hf20_grouped":
        model.set_experts_implementation("grouped_mm")
    return export_transformers(path, model, 20)


def main(fixtures: Path, chosen: list[str]) -> None:
    warnings.filterwarnings("ignore")
    forms = ["optimum"] if "--optimum" in chosen else [*FORMS, *OTHERS]
    chosen = [name for name in chosen if name != "--optimum"]
    for name, form in ((n, f) for n in CONFIGS for f in forms):
        label = f"{name}_{form}"
        if (chosen and label not in chosen and name not in chosen) or (form == "hf20_grouped" and name not in MIXTURES):
            continue
        path = fixtures / "architectures" / label / "model.onnx"
        try:
            with tempfile.TemporaryDirectory() as folder:
                exported = Path(folder, "model.onnx")
                export_as(form, name, exported)
                store(onnx.load(exported), path, "inline")
            decoder = Decoder(path, head_dim=16 if "genai" in form else 8, window=WINDOW)
            print(record(path, decoder, padding="genai" not in form), flush=True)
        except Exception as e:
            shutil.rmtree(path.parent, ignore_errors=True)
            said = (getattr(e, "stderr", None) or str(e).encode()).decode().strip().splitlines()
            print(f"{label}: {type(e).__name__}: {said[-1 if hasattr(e, 'stderr') else 0][:300] if said else ''}", flush=True)
            traceback.print_exc(limit=-3)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
