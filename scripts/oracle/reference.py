"""Record what ONNX Runtime computes for one model file: logits, and greedy tokens.

usage: reference.py MODEL.onnx PROMPTS.json OUT_DIR

Arrays are .npy files (f32, i64); OUT_DIR/index.json lists them with their shapes:
  prefill/  one prompt and 32 greedy steps     padded/  the same behind 5 pad tokens, 4 steps
  greedy/   64 tokens for each chat prompt
"""
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

from decoder import Decoder, continuation, greedy, save

DECODE_STEPS, PADDED_STEPS, PADDING, GREEDY_STEPS = 32, 4, 5, 64


def main(model: Path, prompts: Path, out: Path) -> None:
    given = json.loads(prompts.read_text())
    decoder = Decoder(model)
    prompt = np.array(given["long"]["ids"], np.int64)
    plain = continuation(decoder, prompt, DECODE_STEPS)
    padded = continuation(decoder, prompt, PADDED_STEPS, given["pad_id"], PADDING)
    shift = np.abs(padded["prefill_logits"][PADDING:] - plain["prefill_logits"]).max()
    index = {
        "runtime": f"onnxruntime {onnxruntime.__version__}, CPU",
        "prefill": save(out / "prefill", plain),
        "padded": save(out / "padded", padded) | {"max_difference_from_unpadded": float(shift)},
        "greedy": [],
    }
    for number, chat in enumerate(given["chats"]):
        tokens, lead = greedy(decoder, np.array(chat["ids"], np.int64), GREEDY_STEPS)
        arrays = {f"{number}_prompt": np.array(chat["ids"], np.int64), f"{number}_tokens": tokens}
        entry = {"question": chat["question"], "least_lead": lead, "arrays": save(out / "greedy", arrays)}
        index["greedy"].append(entry)
    (out / "index.json").write_text(json.dumps(index, indent=1, ensure_ascii=False))
    leads = " ".join(f"{entry['least_lead']:.4f}" for entry in index["greedy"])
    print(f"{out}: padding moves logits by {shift:.2e}; least lead of greedy winners {leads}", flush=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
