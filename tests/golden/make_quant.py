#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/quant.bin and quant_models.txt: what the package `gguf` dequantises.

quant.bin: per type a record {u32 type, u32 n_elems, u32 n_bytes, bytes, n_elems f32}, little-endian.
quant_models.txt: "FILE TENSOR TYPE SHA256" of the dequantised f32 bytes of the tensor's first rows.

usage: make_quant.py MODELS_DIR      (pip install gguf numpy)
"""
import hashlib
import pathlib
import struct
import sys

import gguf
import numpy as np

HERE = pathlib.Path(__file__).parent
TYPES = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]
# Where the f16 scales are in a block: random bytes there would give NaN and infinity.
SCALES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
MODELS = ["SmolLM2-135M-Instruct.Q4_1.gguf", "gemma-3-270m-q4_k_m.gguf"]
N_ROWS = 4  # also in tests/unit/quant/test_dequant.c


def blocks(rng, name, n_elems):
    kind = gguf.GGMLQuantizationType[name]
    per_block, size = gguf.GGML_QUANT_SIZES[kind]
    if name == "F32":
        return rng.standard_normal(n_elems).astype("<f4").view(np.uint8)
    if name == "F16":
        edge = np.array([0, 0x8000, 1, 0x83FF, 0x0400, 0x7BFF, 0x7C00, 0xFC00], "<u2")
        rest = rng.standard_normal(n_elems - edge.size).astype("<f2").view("<u2")
        return np.concatenate([edge, rest]).view(np.uint8)
    raw = rng.integers(0, 256, (n_elems // per_block, size), dtype=np.uint8)
    if name == "BF16":
        raw[:, 1] &= 0xBF  # no NaN
    for at in SCALES.get(name, []):
        scale = (rng.standard_normal(raw.shape[0]) * 0.05).astype("<f2")
        scale[0] = np.array([3], "<u2").view("<f2")[0]  # subnormal
        raw[:, at:at + 2] = scale.view(np.uint8).reshape(-1, 2)
    return raw.reshape(-1)


def main():
    rng = np.random.default_rng(20)
    with open(HERE / "quant.bin", "wb") as out:
        for name in TYPES:
            kind = gguf.GGMLQuantizationType[name]
            raw = blocks(rng, name, 1024)
            f32 = gguf.quants.dequantize(raw.reshape(1, -1), kind).astype("<f4").reshape(-1)
            out.write(struct.pack("<III", int(kind), f32.size, raw.size))
            out.write(raw.tobytes() + f32.tobytes())
    with open(HERE / "quant_models.txt", "w") as out:
        for model in MODELS:
            seen = {}
            for tensor in gguf.GGUFReader(pathlib.Path(sys.argv[1]) / model).tensors:
                if seen.setdefault(tensor.tensor_type, 0) == 3:
                    continue
                seen[tensor.tensor_type] += 1
                rows = tensor.data.reshape(-1, tensor.data.shape[-1])[:N_ROWS]
                f32 = gguf.quants.dequantize(rows, tensor.tensor_type).astype("<f4")
                digest = hashlib.sha256(f32.tobytes()).hexdigest()
                out.write(f"{model} {tensor.name} {tensor.tensor_type.name} {digest}\n")


main()
