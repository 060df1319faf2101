"""Turn a Llama GGUF into a Hugging Face folder with fp32 weights and a fast tokenizer.

usage: gguf_to_hf.py MODEL.gguf HF_DIR
"""
import sys
from pathlib import Path

import torch
from gguf import GGUFReader
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CONTROL, USER_DEFINED = 3, 4  # tokenizer.ggml.token_type


def tokenizer(gguf: Path) -> PreTrainedTokenizerFast:
    """The byte-level BPE of the file. Loaders of GGUF tokenizers forget that `smollm` splits digits one by one."""
    fields = {name: field.contents() for name, field in GGUFReader(gguf).fields.items()}
    if (fields["tokenizer.ggml.model"], fields["tokenizer.ggml.pre"]) != ("gpt2", "smollm"):
        raise SystemExit(f"{gguf}: only byte-level BPE with the smollm pre-tokenizer is known here")
    tokens, kinds = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    bpe = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    for kind, special in ((CONTROL, True), (USER_DEFINED, False)):
        bpe.add_tokens([AddedToken(t, special=special, normalized=False) for t, k in zip(tokens, kinds) if k == kind])
    roles = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}
    ids = {role: fields.get(f"tokenizer.ggml.{name}_token_id") for role, name in roles.items()}
    fast = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        clean_up_tokenization_spaces=False,
        **{role: tokens[i] for role, i in ids.items() if i is not None},
    )
    fast.chat_template = fields.get("tokenizer.chat_template")
    return fast


def main(gguf: Path, folder: Path) -> None:
    loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    config = LlamaConfig.from_dict({k: v for k, v in loaded.config.to_dict().items() if k != "quantization_config"})
    model = LlamaForCausalLM(config)
    model.load_state_dict(loaded.state_dict())
    model.save_pretrained(folder)
    tokenizer(gguf).save_pretrained(folder)
    print(folder, sum(p.numel() for p in model.parameters()), "parameters")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
