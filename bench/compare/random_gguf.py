#!/usr/bin/env python3
"""A GGUF model of generated weights, to time an engine where the true weights cannot be had: Llama-2-7B's shape unless told otherwise.

    random_gguf.py OUT.gguf                                         4.2 GB in Q4_1
    random_gguf.py OUT.gguf --layers 2 --hidden 256 --ffn 512 …     another shape

Codes are uniform and scales such that activations neither grow nor vanish; the same seed gives the same file. It has no tokenizer:
llama-bench asks for none. Needs numpy alone.
"""

import argparse
import pathlib
import struct

import numpy as np

ALIGNMENT = 32
BLOCK = 32  # weights
F32 = 0
# Per format: GGUF's number of the tensor type and of the file type, and a block's layout.
FORMATS = {
    "q4_0": (2, 2, np.dtype([("scale", "<f2"), ("codes", "u1", 16)])),
    "q4_1": (3, 3, np.dtype([("scale", "<f2"), ("least", "<f2"), ("codes", "u1", 16)])),
}
# Blocks made at once: 20 MB.
CHUNK = 1 << 20


def main():
    options = arguments()
    tensor_type, _, block = FORMATS[options.format]
    entries, at = [], 0
    for name, shape in tensors(options):
        kind = tensor_type if len(shape) == 2 else F32
        size = shape[0] * shape[1] // BLOCK * block.itemsize if len(shape) == 2 else 4 * shape[0]
        entries.append((name, shape, kind, at))
        at += padded(size)
    random = np.random.Generator(np.random.SFC64(options.seed))
    with open(options.out, "wb") as file:
        file.write(header(metadata(options), entries))
        for _, shape, _, _ in entries:
            chunks = matrix(random, shape, block) if len(shape) == 2 else [norm(random, shape[0])]
            size = sum(file.write(chunk.data) for chunk in chunks)
            file.write(bytes(padded(size) - size))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--format", choices=FORMATS, default="q4_1", help="of the matrices, embedding included [q4_1]")
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--hidden", type=int, default=4096)
    parser.add_argument("--ffn", type=int, default=11008)
    parser.add_argument("--heads", type=int, default=32)
    parser.add_argument("--kv-heads", type=int, help="[as many as heads]")
    parser.add_argument("--vocabulary", type=int, default=32000)
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.kv_heads = options.kv_heads or options.heads
    if options.hidden % BLOCK or options.ffn % BLOCK:
        parser.error(f"--hidden and --ffn must be multiples of {BLOCK}")
    if options.hidden % options.heads or options.heads % options.kv_heads:
        parser.error("--hidden must be a multiple of --heads, and that of --kv-heads")
    return options


def tensors(options):
    """Name and shape of each, [columns, rows] as GGUF has it: the contiguous dimension first."""
    hidden, ffn = options.hidden, options.ffn
    kv = hidden // options.heads * options.kv_heads
    yield "token_embd.weight", (hidden, options.vocabulary)
    for layer in range(options.layers):
        prefix = f"blk.{layer}."
        yield prefix + "attn_norm.weight", (hidden,)
        yield prefix + "attn_q.weight", (hidden, hidden)
        yield prefix + "attn_k.weight", (hidden, kv)
        yield prefix + "attn_v.weight", (hidden, kv)
        yield prefix + "attn_output.weight", (hidden, hidden)
        yield prefix + "ffn_norm.weight", (hidden,)
        yield prefix + "ffn_gate.weight", (hidden, ffn)
        yield prefix + "ffn_up.weight", (hidden, ffn)
        yield prefix + "ffn_down.weight", (ffn, hidden)
    yield "output_norm.weight", (hidden,)
    yield "output.weight", (hidden, options.vocabulary)


def metadata(options):
    return {
        "general.architecture": "llama",
        "general.name": "generated weights",
        "general.alignment": ALIGNMENT,
        "general.file_type": FORMATS[options.format][1],
        "llama.block_count": options.layers,
        "llama.context_length": options.context,
        "llama.embedding_length": options.hidden,
        "llama.feed_forward_length": options.ffn,
        "llama.attention.head_count": options.heads,
        "llama.attention.head_count_kv": options.kv_heads,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": options.hidden // options.heads,
        "llama.vocab_size": options.vocabulary,
        "tokenizer.ggml.model": "no_vocab",
    }


def header(metadata, entries):
    """All before the first tensor: GGUF version 3, as ggml's docs/gguf.md describes it."""
    parts = [b"GGUF", struct.pack("<IQQ", 3, len(entries), len(metadata))]
    for key, value in metadata.items():
        kind, data = {
            int: lambda v: (4, struct.pack("<I", v)),
            float: lambda v: (6, struct.pack("<f", v)),
            str: lambda v: (8, text(v)),
        }[type(value)](value)
        parts += [text(key), struct.pack("<I", kind), data]
    for name, shape, kind, at in entries:
        parts += [text(name), struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, at)]
    whole = b"".join(parts)
    return whole + bytes(padded(len(whole)) - len(whole))


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def padded(size):
    return -(-size // ALIGNMENT) * ALIGNMENT


def matrix(random, shape, block):
    """Chunks of blocks. Uniform codes 0..15 deviate by 4.61 scales from their mean of 7.5: weights by 1/sqrt(columns) from 0."""
    columns, rows = shape
    scale = 1 / (4.61 * columns**0.5)
    left = columns * rows // BLOCK
    while left:
        count = min(left, CHUNK)
        left -= count
        blocks = np.empty(count, block)
        blocks["codes"] = random.integers(0, 1 << 64, 2 * count, np.uint64).view(np.uint8).reshape(count, 16)
        scales = scale * (0.75 + 0.5 * random.random(count, np.float32))
        blocks["scale"] = scales
        if "least" in block.names:
            blocks["least"] = -7.5 * scales
        yield blocks


def norm(random, size):
    return (0.9 + 0.2 * random.random(size, np.float32)).astype("<f4")


if __name__ == "__main__":
    main()
