#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a GGUF file with the shape of an 8B Llama 3 and random Q4_K weights, its head Q6_K, so that two
programs can be timed on the same file where no such model can be fetched. It has no vocabulary.

    make_model.py FILE [--tiny]

Needs numpy. All tensors of a type repeat one stretch of random blocks: 4.9 GB take some seconds."""
import argparse
import struct

import numpy as np

F32, Q4_K, Q6_K = 0, 12, 14  # GGUF's numbers
BLOCKS = {Q4_K: 144, Q6_K: 210}  # bytes of 256 weights
ALIGNMENT = 32
STRETCH_BLOCKS = 8192
SHAPES = {  # layers, width, feed forward, heads, heads of keys and values, vocabulary
    "8B": (32, 4096, 14336, 32, 8, 128256),
    "tiny": (2, 256, 512, 4, 2, 512),
}


def text(s):
    return struct.pack("<Q", len(s)) + s.encode()


def fields(shape):
    n_layers, n_embd, n_ff, n_heads, n_heads_kv, n_vocab = shape
    numbers = {
        "context_length": 8192, "embedding_length": n_embd, "block_count": n_layers,
        "feed_forward_length": n_ff, "attention.head_count": n_heads,
        "attention.head_count_kv": n_heads_kv, "rope.dimension_count": n_embd // n_heads,
        "vocab_size": n_vocab,
    }
    out = [text(k) + struct.pack("<I", 8) + text(v) for k, v in
           (("general.architecture", "llama"), ("tokenizer.ggml.model", "no_vocab"))]
    out += [text(f"llama.{k}") + struct.pack("<II", 4, v) for k, v in numbers.items()]
    out += [text(f"llama.{k}") + struct.pack("<If", 6, v) for k, v in
            (("attention.layer_norm_rms_epsilon", 1e-5), ("rope.freq_base", 500000.0))]
    return out


def tensors(shape):
    """(name, type, columns, rows); one row of F32 is a vector."""
    n_layers, n_embd, n_ff, n_heads, n_heads_kv, n_vocab = shape
    n_kv = n_embd // n_heads * n_heads_kv
    yield "token_embd.weight", Q4_K, n_embd, n_vocab
    yield "output_norm.weight", F32, n_embd, 1
    yield "output.weight", Q6_K, n_embd, n_vocab
    for i in range(n_layers):
        for name, columns, rows in (("attn_q", n_embd, n_embd), ("attn_k", n_embd, n_kv),
                                    ("attn_v", n_embd, n_kv), ("attn_output", n_embd, n_embd),
                                    ("ffn_gate", n_embd, n_ff), ("ffn_up", n_embd, n_ff),
                                    ("ffn_down", n_ff, n_embd)):
            yield f"blk.{i}.{name}.weight", Q4_K, columns, rows
        for name in ("attn_norm", "ffn_norm"):
            yield f"blk.{i}.{name}.weight", F32, n_embd, 1


def n_bytes(kind, columns, rows):
    return columns * 4 if kind == F32 else columns * rows // 256 * BLOCKS[kind]


def stretch(kind, rng):
    """Random blocks whose scales keep a weight near 1/50."""
    blocks = rng.integers(0, 256, (STRETCH_BLOCKS, BLOCKS[kind]), dtype=np.uint8)
    if kind == Q4_K:
        blocks[:, 0:4] = np.array([2**-15, 2**-13], "<f2").view(np.uint8)
    else:
        blocks[:, 208:210] = np.array([2**-18], "<f2").view(np.uint8)
    return blocks.tobytes()


def write(path, shape):
    rng = np.random.default_rng(1)
    stretches = {kind: stretch(kind, rng) for kind in BLOCKS}
    metadata, all_tensors = fields(shape), list(tensors(shape))
    with open(path, "wb") as f:
        f.write(b"GGUF" + struct.pack("<IQQ", 3, len(all_tensors), len(metadata)) + b"".join(metadata))
        offset = 0
        for name, kind, columns, rows in all_tensors:
            dims = (columns,) if kind == F32 else (columns, rows)
            f.write(text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset))
            offset += -(-n_bytes(kind, columns, rows) // ALIGNMENT) * ALIGNMENT
        for _, kind, columns, rows in all_tensors:
            f.write(b"\0" * (-f.tell() % ALIGNMENT))
            left = n_bytes(kind, columns, rows)
            if kind == F32:
                f.write(np.ones(columns, "<f4").tobytes())
                continue
            while left > 0:
                left -= f.write(stretches[kind][:left])


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("file")
parser.add_argument("--tiny", action="store_true", help="two layers of 256: for a test of the programs")
args = parser.parse_args()
write(args.file, SHAPES["tiny" if args.tiny else "8B"])
