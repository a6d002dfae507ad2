#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/vocab/*.gguf: small vocabularies for every kind of pre-tokeniser.

They are trained here, on the golden texts, by plain pair counting; so no model's vocabulary is
copied. One byte-level vocabulary is written once per kind; spm.gguf is a SentencePiece one.

usage: make_vocabs.py      (pip install gguf)
"""
import collections
import pathlib
import re

import gguf

import token_texts

OUT = pathlib.Path(__file__).parent / "vocab"
KINDS = ["default", "gpt-2", "llama-bpe", "qwen2", "qwen35", "falcon", "deepseek-coder",
         "deepseek-v3"]
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
N_MERGES = 500
SPECIAL = [("<|endoftext|>", CONTROL), ("<|im_start|>", CONTROL), ("<|im_end|>", CONTROL),
           ("<|word|>", USER_DEFINED), ("\n\n\n", USER_DEFINED), ("\t\t", USER_DEFINED)]


def byte_letters():
    keep = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in keep]
    return {b: chr(b) for b in keep} | {b: chr(256 + i) for i, b in enumerate(others)}


def train(words, n_merges):
    """words: Counter of tuples of symbols -> the merges in order."""
    merges = []
    while len(merges) < n_merges:
        pairs = collections.Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        best = max(pairs, key=lambda p: (pairs[p], p))
        merges.append(best)
        merged = collections.Counter()
        for word, count in words.items():
            out = []
            for symbol in word:
                if out and (out[-1], symbol) == best:
                    out[-1] += symbol
                else:
                    out.append(symbol)
            merged[tuple(out)] += count
        words = merged
    return merges


def write(name, model, tokens, types, scores=None, merges=None, pre=None):
    writer = gguf.GGUFWriter(OUT / f"{name}.gguf", "llama")
    writer.add_name(f"vocabulary {name}")
    writer.add_tokenizer_model(model)
    if pre:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    if scores:
        writer.add_token_scores(scores)
    if merges:
        writer.add_token_merges(merges)
    ids = {t: i for i, t in enumerate(tokens)}
    writer.add_bos_token_id(ids.get("<s>", ids.get("<|endoftext|>")))
    writer.add_eos_token_id(ids.get("</s>", ids.get("<|endoftext|>")))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def write_byte_level(texts):
    letters = byte_letters()
    words = collections.Counter()
    for text in texts:
        for word in re.findall(r"\s?\w+|\s?[^\w\s]+|\s+", text):
            words[tuple(letters[b] for b in word.encode())] += 1
    merges = train(words, N_MERGES)
    # Every twentieth byte is left out: what the vocabulary lacks must be dropped as it is there.
    tokens = [c for b, c in letters.items() if b < 0x80 or b % 20]
    tokens += list(dict.fromkeys(a + b for a, b in merges))
    # Words that no merge makes, for kinds that prefer whole words.
    tokens += [t for t in ("Ġdoesn", "hello", "12", "ĠWe") if t not in tokens]
    types = [NORMAL] * len(tokens) + [kind for _, kind in SPECIAL]
    tokens += [text for text, _ in SPECIAL]
    for kind in KINDS:
        write(kind, "gpt2", tokens, types, merges=[f"{a} {b}" for a, b in merges], pre=kind)


def write_sentencepiece(texts):
    words = collections.Counter()
    for text in texts:
        for word in re.findall(r" ?[^ ]+", text.replace("\n", "")):
            words[tuple(word.replace(" ", "\u2581"))] += 1
    merges = train(words, N_MERGES)
    chars = sorted({c for t in token_texts.SENTENCES for c in t if c > " "} | {"\u2581"})
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    types = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256
    scores = [0.0] * len(tokens)
    for i, text in enumerate(dict.fromkeys(a + b for a, b in merges)):
        if text in tokens or text in dict(SPECIAL):
            continue
        tokens.append(text)
        types.append(NORMAL)
        scores.append(-float(i // 3))  # equal scores: the leftmost pair must win
    for text in chars:
        tokens.append(text)
        types.append(NORMAL)
        scores.append(-1000.0)
    for text, kind in SPECIAL:
        tokens.append(text)
        types.append(kind)
        scores.append(0.0)
    write("spm", "llama", tokens, types, scores=scores)


OUT.mkdir(exist_ok=True)
write_byte_level(token_texts.texts())
write_sentencepiece(token_texts.texts())
