"""Values of all codes of small floats, and the codes of numbers between them, as ml_dtypes has them.

    python minifloats.py ../../onnx_import/src/minifloats.txt

Three lines a format: its name, the values as the bits of f32, and the codes of what `between` lists, then, of signed formats,
of the same negated. The test in onnx_import/src/minifloat.rs lists the same.
"""

import sys

import ml_dtypes
import numpy as np

FORMATS = {
    "f8e4m3fn": (ml_dtypes.float8_e4m3fn, 8),
    "f8e4m3fnuz": (ml_dtypes.float8_e4m3fnuz, 8),
    "f8e5m2": (ml_dtypes.float8_e5m2, 8),
    "f8e5m2fnuz": (ml_dtypes.float8_e5m2fnuz, 8),
    "f4e2m1": (ml_dtypes.float4_e2m1fn, 4),
    "f8e8m0": (ml_dtypes.float8_e8m0fnu, 8),
}


def between(values):
    values = np.sort(values[np.isfinite(values) & (values >= 0) & ~np.signbit(values)])
    halves = ((values[:-1].astype(np.float64) + values[1:].astype(np.float64)) / 2).astype(np.float32)
    around = np.stack([np.nextafter(halves, np.float32(-np.inf)), halves, np.nextafter(halves, np.float32(np.inf))], 1)
    largest = values[-1]
    with np.errstate(over="ignore"):
        beyond = np.array([1.03, 1.07, 1.13, 1.26, 1.6], np.float32) * largest
    rest = np.array([1e-30, 1e30, np.inf, np.nan], np.float32)
    return np.concatenate([around.ravel(), values, beyond, rest])


with open(sys.argv[1], "w") as out:
    for name, (dtype, bits) in FORMATS.items():
        codes = np.arange(1 << bits, dtype=np.uint8)
        values = codes.view(dtype).astype(np.float32)
        numbers = between(values)
        if name != "f8e8m0":
            numbers = np.concatenate([numbers, -numbers])
        got = numbers.astype(dtype).view(np.uint8) & ((1 << bits) - 1)
        print(name, values.view(np.uint32).astype(">u4").tobytes().hex(), got.tobytes().hex(), sep="\n", file=out)
