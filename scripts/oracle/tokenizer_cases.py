"""Token ids by the fast tokenizer, for checking another implementation of it.

usage: tokenizer_cases.py HF_DIR OUT_DIR TEXT.txt...
writes OUT_DIR/strings.json, a list of {text, ids, decoded}, and OUT_DIR/NAME.json for the start of each text
"""
import json
import sys
from pathlib import Path

from transformers import AutoTokenizer

CHARACTERS = 60_000
STRINGS = (
    "",
    " ",
    "  ",
    "a",
    " a",
    "Hello, world!",
    "It's 12345 naïve 😀",
    "don't DON'T we'll I'd they've you're I'm 'tis 's'S",
    "1234567890 3.14159 1,000,000 0x1F ²³ ٣٤ Ⅷ",
    "trailing spaces   ",
    "   leading spaces",
    "tabs\t\tand\nnew\n\n\nlines\r\nand returns\r",
    "a \n b\n  c   \n\n   d",
    "def f(x):\n    return x  # comment\n\n\tif x:\n\t\tpass\n",
    "東京タワー 你好,世界 안녕하세요",
    "Привет, мир! Ελληνικά עברית العربية हिन्दी",
    "café cafe\u0301 Å A\u030a ﬁ ﬃ",
    "👩‍👩‍👧‍👦 🏳️‍🌈 🇫🇷 😀😀😀",
    "zero\u200bwidth no\u00a0break thin\u2009space \u3000ideographic \u2028line",
    "control \x00\x01\x07\x1b[0m \x7f \ufeffbom \ufffd",
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    "<|endoftext|>text<|endoftext|>",
    "<|im_start|> <|im_end |> <im_start>",
    "a<|im_end|>b <|im_end|> c",
    "<repo_name>x<filename>y<jupyter_script>z",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "CamelCaseWord snake_case_word kebab-case-word SCREAMING_CASE",
    "https://example.org/path?q=1&r=2#frag user@example.org",
    "!!!???...---___***///\\\\\\|||",
    "$100 €50 £20 50% #1 @you a+b=c a<b>c {x: [1, 2]}",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚𝟛 𐍈",
    "a" * 100,
    " " * 50 + "x",
    "\n" * 20,
    "no\u0336 combining z\u0335a\u0336l\u0337g\u0338o",
)


def main(hf_dir: Path, out: Path, texts: list[Path]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(hf_dir)
    out.mkdir(parents=True, exist_ok=True)

    def encode(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False).input_ids

    cases = [{"text": text, "ids": encode(text), "decoded": tokenizer.decode(encode(text))} for text in STRINGS]
    (out / "strings.json").write_text(json.dumps(cases, indent=1))
    for path in texts:
        ids = encode(path.read_text(encoding="utf-8")[:CHARACTERS])
        (out / f"{path.stem}.json").write_text(json.dumps({"characters": CHARACTERS, "ids": ids}))
        print(path.stem, len(ids), "tokens")
    changed = [case["text"] for case in cases if case["decoded"] != case["text"]]
    print(len(cases), "strings;", changed, "do not round-trip")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), [Path(p) for p in sys.argv[3:]])
