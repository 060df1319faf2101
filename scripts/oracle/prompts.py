"""Write the prompts that references are recorded for, with their token ids.

usage: prompts.py HF_DIR PROMPTS.json
"""
import json
import sys
from pathlib import Path

from transformers import AutoTokenizer

LONG = (
    "A symbolic memory plan is made once for a model and evaluated again whenever a size changes. "
    "The cache of keys and values is never copied: each step writes its own rows behind those of the"
)
QUESTIONS = (
    "What is the capital of France?",
    "Write a Python function that returns the n-th Fibonacci number.",
    "Explain in two sentences why the sky is blue.",
    "List three animals that live in the sea and one fact about each.",
    "Translate to French: The weather is nice today and I am going to the market.",
)


def main(hf_dir: Path, out: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(hf_dir)
    chats = []
    for question in QUESTIONS:
        turn = [{"role": "user", "content": question}]
        text = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, add_special_tokens=False).input_ids
        chats.append({"question": question, "text": text, "ids": ids})
    ids = tokenizer(LONG, add_special_tokens=False).input_ids
    prompts = {"pad_id": tokenizer.pad_token_id, "long": {"text": LONG, "ids": ids}, "chats": chats}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(prompts, indent=1, ensure_ascii=False))
    print(out, len(ids), "tokens;", *(len(chat["ids"]) for chat in chats))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
