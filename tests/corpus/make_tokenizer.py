#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/corpus/tokenizer/: texts for fuzz_tokenizer, whose first byte picks the vocabulary."""
import pathlib

OUT = pathlib.Path(__file__).parent / "tokenizer"
N_VOCABS = 9
TEXTS = {
    "empty": b"",
    "mixed": "Hello, world's 12345 <|im_start|>über\r\n\r\n  x\u3000\u00a0y 你好 👨‍👩‍👧 e\u0301".encode(),
    "hostile": b"\xff\xfe\xc3\xe2\x96\xf0\x9f\x80\xed\xa0\x80\xc0\x80\xf5\x80\x80\x80\x00\x7f\x1b",
    "overlap": b"<|im_<|im_start|><|im_end|><|word|>\n\n\n\n\n\t\t\t<|wo<|word|>rd|>",
    "same": b"a" * 3000 + b" " * 3000 + b"1" * 900,
}

OUT.mkdir(exist_ok=True)
for i in range(N_VOCABS):
    for name, text in TEXTS.items():
        (OUT / f"{name}_{i}").write_bytes(bytes([i * 4 + 3]) + text)
