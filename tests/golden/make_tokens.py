#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes token_texts.json and tokens_NAME.bin: the ids and pieces that llama.cpp gives.

tokens_NAME.bin, little-endian: u32 n_vocab, bos, eos, n_texts; SHA-256 of all pieces (each with its
length as u32); SHA-256 of one byte a token (1 control, 2 ends a generation); then for every text
the ids with special tokens added and parsed, and those of the plain text: LEB128 count, ids.

usage: make_tokens.py MODELS_DIR     (pip install llama-cpp-python; after make_vocabs.py)
"""
import ctypes
import hashlib
import json
import pathlib
import struct
import sys

import llama_cpp.llama_cpp as lib

import token_texts

HERE = pathlib.Path(__file__).parent
MODELS = {"smollm2": "SmolLM2-135M-Instruct.Q4_1.gguf", "gemma3": "gemma-3-270m-q4_k_m.gguf"}
N_TEXTS_SMALL = 900  # for the small vocabularies


def leb128(v):
    out = bytearray()
    while v >= 0x80:
        out.append(v & 0x7F | 0x80)
        v >>= 7
    return bytes(out) + bytes([v])


def encode(vocab, text, special):
    raw = text.encode()
    ids = (ctypes.c_int32 * (len(raw) * 4 + 8))()
    n = lib.llama_tokenize(vocab, raw, len(raw), ids, len(ids), special, special)
    assert n >= 0
    return leb128(n) + b"".join(leb128(i) for i in ids[:n])


def piece(vocab, token):
    buf = ctypes.create_string_buffer(4096)
    n = lib.llama_token_to_piece(vocab, token, buf, len(buf), 0, True)
    assert n >= 0
    return struct.pack("<I", n) + buf.raw[:n]


def bits(vocab, token):
    return lib.llama_vocab_is_control(vocab, token) | lib.llama_vocab_is_eog(vocab, token) << 1


def write(name, path, texts):
    params = lib.llama_model_default_params()
    params.vocab_only = True
    model = lib.llama_model_load_from_file(str(path).encode(), params)
    vocab = lib.llama_model_get_vocab(model)
    n = lib.llama_vocab_n_tokens(vocab)
    pieces = hashlib.sha256(b"".join(piece(vocab, i) for i in range(n)))
    kinds = hashlib.sha256(bytes(bits(vocab, i) for i in range(n)))
    with open(HERE / f"tokens_{name}.bin", "wb") as out:
        out.write(struct.pack("<IiiI", n, lib.llama_vocab_bos(vocab), lib.llama_vocab_eos(vocab),
                              len(texts)))
        out.write(pieces.digest() + kinds.digest())
        for text in texts:
            out.write(encode(vocab, text, True) + encode(vocab, text, False))
    lib.llama_model_free(model)


def main():
    quiet = lib.llama_log_callback(lambda *_: None)  # must live as long as the library logs
    lib.llama_log_set(quiet, None)
    texts = token_texts.texts()
    (HERE / "token_texts.json").write_text(json.dumps(texts, ensure_ascii=True, indent=0))
    for name, file in MODELS.items():
        write(name, pathlib.Path(sys.argv[1]) / file, texts)
    for path in sorted((HERE / "vocab").glob("*.gguf")):
        write(path.stem, path, texts[:N_TEXTS_SMALL])


main()
