"""A decoder-only ONNX model in ONNX Runtime, and what is recorded from it."""
from pathlib import Path

import numpy as np
import onnxruntime as ort

TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64}
WINDOWED = "past_sliding_length"  # what onnxruntime-genai calls the length of a cache that keeps a window only


def present_name(past: str) -> str:
    """The output that continues a cache input: `present.N.key` (PyTorch, Optimum) or `output.…` (transformers)."""
    if past.startswith("input."):
        return past.replace("input.", "output.", 1)
    return past.replace("past_key_values", "present")


class Decoder:
    """Runs batch 1 on the CPU, feeding the cache back. `window`: how long the caches are that keep a window only."""

    def __init__(self, path: Path, threads: int = 2, head_dim: int | None = None, window: int = 0):
        self.head_dim, self.window = head_dim, window
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # activations stay floats where 4-bit weights are decoded
        options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
        options.log_severity_level = 3
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.inputs = {i.name: i for i in self.session.get_inputs()}
        self.outputs = [o.name for o in self.session.get_outputs()]
        self.past_names = [name for name in self.inputs if "past" in name and len(self.inputs[name].shape) == 4]
        self.logits_name = next(name for name in self.outputs if name.split(".")[-1] == "logits")
        self.reset()

    def reset(self, padding: int = 0) -> None:
        """Forget everything; the next prompt then begins with `padding` pad tokens."""
        self.mask = np.zeros((1, 0), np.int64)
        self.padding = padding
        self.past = {}
        for name in self.past_names:
            info = self.inputs[name]
            _, heads, past, head_dim = info.shape  # an exporter may write them as text, "16", or not at all
            head_dim = head_dim if str(head_dim).isdigit() else self.head_dim
            self.past[name] = np.zeros((1, int(heads), self.window * (past == WINDOWED), int(head_dim)), TYPES[info.type])

    def feed(self, tokens: np.ndarray) -> dict:
        """The inputs of the next step, cache apart."""
        fresh = np.ones((1, len(tokens)), np.int64)
        if self.mask.shape[1] == 0:
            fresh[:, : self.padding] = 0
        self.mask = np.concatenate([self.mask, fresh], axis=1)
        positions = np.maximum(self.mask.cumsum(axis=1) - 1, 0)[:, -len(tokens) :]
        values = {"input_ids": np.array(tokens, np.int64)[None], "attention_mask": self.mask, "position_ids": positions}
        # the width of a sliding window, which comes out as it is
        scalars = {n: np.zeros([], np.int64) for n in self.inputs if n.endswith("_sliding_window_tensor")}
        return scalars | {name: values[name.split(".")[-1]] for name in self.inputs if name.split(".")[-1] in values}

    def step(self, tokens: np.ndarray) -> np.ndarray:
        """Run `tokens` [sequence] after all that was run before; logits [sequence, vocab], f32."""
        found = self.session.run(None, self.feed(tokens) | self.past)
        outputs = dict(zip(self.outputs, found))
        self.past = {name: outputs[present_name(name)] for name in self.past_names}
        return outputs[self.logits_name][0].astype(np.float32)


def continuation(decoder: Decoder, prompt: np.ndarray, steps: int, pad: int | None = None, padding: int = 0) -> dict:
    """Run `prompt` behind `padding` tokens of id `pad`, then `steps` greedy tokens.

    prompt_ids, attention_mask, position_ids [S]: what the prefill was given
    prefill_logits [S, vocab] (rows of pad tokens are meaningless)
    decode_tokens  [steps]: the token fed at each step, the greatest logit of the row before
    decode_logits  [steps, vocab]: the row that each fed token gave
    """
    decoder.reset(padding)
    ids = np.concatenate([np.full(padding, pad or 0, np.int64), prompt])
    mask = (np.arange(len(ids)) >= padding).astype(np.int64)
    prefill = decoder.step(ids)
    tokens, rows = [], [prefill[-1]]
    for _ in range(steps):
        tokens.append(int(rows[-1].argmax()))
        rows.append(decoder.step(np.array(tokens[-1:]))[-1])
    return {
        "prompt_ids": ids,
        "attention_mask": mask,
        "position_ids": np.maximum(mask.cumsum() - 1, 0),
        "prefill_logits": prefill,
        "decode_tokens": np.array(tokens, np.int64),
        "decode_logits": np.array(rows[1:], np.float32),
    }


def greedy(decoder: Decoder, prompt: np.ndarray, steps: int) -> tuple[np.ndarray, float]:
    """The next `steps` greedy tokens, running on past an end token, and the least lead of a winner over the second."""
    decoder.reset()
    tokens, lead, row = [], np.inf, decoder.step(prompt)[-1]
    for _ in range(steps):
        second, first = np.partition(row, -2)[-2:]
        lead = min(lead, float(first - second))
        tokens.append(int(row.argmax()))
        row = decoder.step(np.array(tokens[-1:]))[-1]
    return np.array(tokens, np.int64), lead


def save(folder: Path, arrays: dict) -> dict:
    """Write each array to `folder`/NAME.npy; what an index needs to say about them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return {name: {"file": f"{name}.npy", "dtype": str(a.dtype), "shape": list(a.shape)} for name, a in arrays.items()}
