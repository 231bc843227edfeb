#!/usr/bin/env python3
"""Makes gguf_blocks.txt: blocks of GGML's types as bytes, and the numbers that the Python package
`gguf` reads from them. Needs that package:

    python3 tests/golden/make_gguf_blocks.py >tests/golden/gguf_blocks.txt

Lines: type, bytes in hexadecimal, numbers as the hexadecimal bits of float32. Lines that begin with
"quantise" go the other way: numbers, then bytes.
"""
import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize, quantize

rng = np.random.default_rng(7)
# Where the F16 scales of a block are.
SCALES = {T.Q4_0: [0], T.Q4_1: [0, 2], T.Q8_0: [0], T.Q4_K: [0, 2], T.Q6_K: [208]}
LATER = {T.Q5_0: [0], T.Q5_1: [0, 2], T.Q2_K: [80, 82], T.Q3_K: [108], T.Q5_K: [0, 2], T.IQ4_NL: [0],
         T.IQ4_XS: [0], T.MXFP4: []}


def line(kind, data, values):
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32).ravel()
    return f"{kind} {data.tobytes().hex()} {' '.join(f'{b:08x}' for b in bits)}"


def random_blocks(kind, count):
    size, bytes_ = GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (count, bytes_), dtype=np.uint8)
    for at in {**SCALES, **LATER}[kind]:
        scales = rng.normal(0, 0.02, count).astype(np.float16)
        scales[0] = np.float16(6e-8)  # a subnormal
        blocks[:, at:at + 2] = scales.view(np.uint8).reshape(count, 2)
    if kind == T.MXFP4:  # the exponent alone; the first ones are subnormal
        blocks[:, 0] = [0, 1, 2, 127, 130][:count]
    return blocks


for kind in SCALES:
    data = random_blocks(kind, 3)
    print(line(kind.name, data, dequantize(data, kind)))
values = np.concatenate([rng.normal(0, 1, 59), [0.0, -0.0, 65504.0, 5.9e-8, -6.1e-5]]).astype(np.float32)
data = values.astype(np.float16).view(np.uint8)
print(line("F16", data, dequantize(data, T.F16)))
data = quantize(values, T.BF16)
print(line("BF16", data, dequantize(data, T.BF16)))
print(line("F32", values.view(np.uint8), values))
zero = np.zeros(32, dtype=np.float32)
for kind in (T.F16, T.BF16, T.Q8_0):
    some = np.concatenate([values[:32], zero, rng.normal(0, 1e-3, 64).astype(np.float32)])
    if kind != T.Q8_0:  # ties, and the ends of the range
        some = np.concatenate([some, np.float32([1.00048828125, 1.00146484375, 65519.0, 2.98e-8, 8.9e-8, -1e-9])])
    print("quantise " + line(kind.name, quantize(some, kind), some))
for kind in LATER:
    data = random_blocks(kind, 5 if kind == T.MXFP4 else 3)
    print(line(kind.name, data, dequantize(data, kind)))
values = np.concatenate([rng.normal(0, 1, 13), [1.0 + 2**-24, 5e-46, 3.4e38]])
print(line("F64", values.view(np.uint8), values.astype(np.float32)))
