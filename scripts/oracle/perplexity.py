"""Perplexity of texts in torch, fp32, in one window: the figure that a quantised model is compared with.

usage: perplexity.py HF_DIR OUT_DIR TEXT.txt...     writes OUT_DIR/ppl.json and OUT_DIR/ppl_NAME.npy, the token ids
"""
import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

TOKENS, FIRST_CHARACTER = 1024, 2000


def main(hf_dir: Path, out: Path, texts: list[Path]) -> None:
    torch.set_num_threads(2)
    tokenizer = AutoTokenizer.from_pretrained(hf_dir)
    model = AutoModelForCausalLM.from_pretrained(hf_dir, dtype=torch.float32).eval()
    index = {}
    for path in texts:
        text = path.read_text(encoding="utf-8", errors="replace")
        window = text[FIRST_CHARACTER : FIRST_CHARACTER + 12 * TOKENS]
        ids = torch.tensor(tokenizer(window, add_special_tokens=False).input_ids[:TOKENS])
        with torch.no_grad():
            log_p = model(ids[None]).logits[0, :-1].log_softmax(-1)
        nll = -log_p.gather(1, ids[1:, None]).mean().item()
        top1 = (log_p.argmax(-1) == ids[1:]).float().mean().item()
        file = f"ppl_{path.stem}.npy"
        np.save(out / file, ids.numpy())
        index[path.stem] = {"ids": file, "tokens": len(ids), "nll": nll, "perplexity": math.exp(nll), "top1": top1}
        print(path.stem, index[path.stem], flush=True)
    (out / "ppl.json").write_text(json.dumps(index, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), [Path(p) for p in sys.argv[3:]])
