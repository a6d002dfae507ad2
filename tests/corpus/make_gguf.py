#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/corpus/gguf/: small hostile GGUF files, and expect.txt with the error of each.

expect.txt: "FILE<tab>a part of the error's sentence", or "FILE<tab>ok".
expect_tokenizer.txt: the same for well-formed files with a broken tokenizer.
Standard library only, so that nothing stands between the bytes and the file.
"""
import pathlib
import struct

OUT = pathlib.Path(__file__).parent / "gguf"
U8, I8, U16, I16, U32, I32, F32, BOOL, STR, ARRAY, U64, I64, F64 = range(13)
BIG = 2**64 - 1


def u32(v):
    return struct.pack("<I", v)


def u64(v):
    return struct.pack("<Q", v)


def text(s):
    raw = s if isinstance(s, bytes) else s.encode()
    return u64(len(raw)) + raw


def key(name, kind, payload):
    return text(name) + u32(kind) + payload


def tensor(name, dims, kind, offset):
    return text(name) + u32(len(dims)) + b"".join(u64(d) for d in dims) + u32(kind) + u64(offset)


def head(n_tensors, n_keys, version=3, magic=b"GGUF"):
    return magic + u32(version) + u64(n_tensors) + u64(n_keys)


def pad(raw, alignment=32):
    return raw + bytes(-len(raw) % alignment)


ARCH = key("general.architecture", STR, text("llama"))
EVERY_TYPE = b"".join([
    key("k.u8", U8, b"\xff"), key("k.i8", I8, b"\xff"), key("k.u16", U16, b"\xff\xff"),
    key("k.i16", I16, b"\xff\xff"), key("k.u32", U32, u32(2**32 - 1)),
    key("k.i32", I32, struct.pack("<i", -7)), key("k.f32", F32, struct.pack("<f", 1.5)),
    key("k.bool", BOOL, b"\x01"), key("k.u64", U64, u64(2**40)),
    key("k.i64", I64, struct.pack("<q", -2**40)), key("k.f64", F64, struct.pack("<d", 2.5)),
    key("k.arr", ARRAY, u32(I32) + u64(3) + struct.pack("<iii", 1, -2, 3)),
    key("k.strs", ARRAY, u32(STR) + u64(2) + text("a") + text("")),
])
GOOD_PARTS = [  # (name of the part, bytes): every boundary is cut once
    ("magic", b"GGUF"), ("version", u32(3)), ("tensors", u64(2)), ("keys", u64(14)),
    ("arch", ARCH), ("types", EVERY_TYPE),
    ("t0", tensor("a", [32, 2], 8, 0)), ("t1", tensor("b", [4], 0, 96)),
]


def good():
    return pad(b"".join(p for _, p in GOOD_PARTS)) + bytes(96) + struct.pack("<ffff", 1, 2, 3, 4)


def one_tensor(*args, data=bytes(64), keys=ARCH, n_keys=1):
    return pad(head(1, n_keys) + keys + tensor(*args)) + data


def cases():
    yield "good", good(), "ok"
    yield "good_no_tensors", head(0, 1) + ARCH, "ok"
    yield "good_version_2", pad(head(0, 1, 2) + ARCH), "ok"
    at = 0
    for name, part in GOOD_PARTS:
        yield f"cut_before_{name}", good()[:at], "the file ends at"
        yield f"cut_inside_{name}", good()[:at + len(part) // 2], "the file ends at"
        at += len(part)
    yield "cut_data", good()[:-1], "tensor 'b': data ends at"
    yield "cut_all_data", good()[:at], "tensor 'a': data ends at"
    yield "magic", head(0, 0, magic=b"GGML"), "not a GGUF file"
    yield "version_1", head(0, 0, 1), "version 1 is not supported"
    yield "version_4", head(0, 0, 4), "version 4 is not supported"
    yield "big_endian", b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"
    yield "many_keys", head(0, BIG), "the number of keys is"
    yield "many_tensors", head(BIG, 0), "the number of tensors is"
    yield "keys_missing", head(0, 65536), "the file ends at"
    yield "tensors_missing", head(65536, 1) + ARCH, "the file ends at"
    yield "key_twice", head(0, 2) + ARCH + ARCH, "key 'general.architecture' appears twice"
    yield "key_empty", head(0, 1) + key("", U8, b"\0"), "has 0 bytes"
    yield "key_long", head(0, 1) + key("k" * 70000, U8, b"\0"), "has 70000 bytes"
    yield "key_control", head(0, 1) + key("a\x1b[31m", U8, b"\0"), "control character 0x1b"
    yield "key_name_huge", head(0, 1) + u64(BIG) + b"x", "has 18446744073709551615 bytes"
    yield "key_type", head(0, 1) + key("k", 13, b""), "key 'k' has unknown type 13"
    yield "key_bool_2", head(0, 1) + key("k", BOOL, b"\2"), "bool of value 2"
    yield "str_huge", head(0, 1) + key("k", STR, u64(BIG - 8)), "a string at offset"
    yield "arr_type", head(0, 1) + key("k", ARRAY, u32(99) + u64(1)), "unknown type 99"
    yield "arr_nested", head(0, 1) + key("k", ARRAY, u32(ARRAY) + u64(1) + u32(U8) + u64(0)), \
        "array of arrays"
    yield "arr_huge", head(0, 1) + key("k", ARRAY, u32(U64) + u64(2**61)), \
        "has 2305843009213693952 elements"
    yield "arr_strs_huge", head(0, 1) + key("k", ARRAY, u32(STR) + u64(2**62)), "elements"
    yield "arr_str_cut", head(0, 1) + key("k", ARRAY, u32(STR) + u64(1) + u64(9)), \
        "a string of an array"
    yield "t_twice", pad(head(2, 0) + tensor("a", [4], 0, 0) * 2) + bytes(32), "appears twice"
    yield "t_name_long", one_tensor("n" * 65, [4], 0, 0), "has 65 bytes"
    yield "t_no_dims", one_tensor("a", [], 0, 0), "has 0 dimensions"
    yield "t_five_dims", one_tensor("a", [1] * 5, 0, 0), "has 5 dimensions"
    yield "t_zero_dim", one_tensor("a", [4, 0], 0, 0), "dimension 1 is zero"
    yield "t_dims_overflow", one_tensor("a", [2**33, 2**33], 0, 0), \
        "the product of its dimensions overflows"
    yield "t_size_overflow", one_tensor("a", [2**62, 3], 0, 0), "its size overflows"
    yield "t_type", one_tensor("a", [4], 77, 0), "tensor 'a' has unknown type 77"
    yield "t_type_removed", one_tensor("a", [4], 4, 0), "tensor 'a' has unknown type 4"
    yield "t_block", one_tensor("a", [33], 8, 0), "is not a multiple of Q8_0's block of 32"
    yield "t_misaligned", one_tensor("a", [4], 0, 4), "is not a multiple of the alignment 32"
    yield "t_offset_overflow", one_tensor("a", [4], 0, 2**64 - 32), "offset 18446744073709551584"
    yield "t_past_end", one_tensor("a", [17], 0, 0), "data ends at"
    yield "t_unsupported_type", one_tensor("a", [4], 27, 0), "ok"
    for value, name in [(0, "zero"), (24, "odd"), (2**31, "huge")]:
        keys = key("general.alignment", U32, u32(value))
        yield f"align_{name}", one_tensor("a", [4], 0, 0, keys=keys), f"alignment is {value}"
    keys = key("general.alignment", STR, text("32"))
    yield "align_type", one_tensor("a", [4], 0, 0, keys=keys), "must be an integer"
    keys = key("general.alignment", U32, u32(8))
    yield "align_8", head(1, 1) + keys + tensor("a", [4], 0, 0) + bytes(24), "ok"
    yield "empty", b"", "the file"


def strings(items):
    return u32(STR) + u64(len(items)) + b"".join(text(i) for i in items)


def i32s(items):
    return u32(I32) + u64(len(items)) + struct.pack(f"<{len(items)}i", *items)


def f32s(items):
    return u32(F32) + u64(len(items)) + struct.pack(f"<{len(items)}f", *items)


BPE = {
    "model": (STR, text("gpt2")), "pre": (STR, text("gpt-2")),
    "tokens": (ARRAY, strings(["a", "b", "ab", "<|x|>"])),
    "token_type": (ARRAY, i32s([1, 1, 1, 3])), "merges": (ARRAY, strings(["a b"])),
}
SPM = {
    "model": (STR, text("llama")),
    "tokens": (ARRAY, strings(["<unk>", "<s>", "</s>", "a", "<0x41>"])),
    "token_type": (ARRAY, i32s([2, 3, 3, 1, 6])), "scores": (ARRAY, f32s([0, 0, 0, -1, 0])),
}


def tokenizer(base, **changes):
    keys = {**base, **changes}
    keys = [key(f"tokenizer.ggml.{k}", *v) for k, v in keys.items() if v]
    return head(0, len(keys)) + b"".join(keys)


def tokenizer_cases():
    yield "tok_bpe", tokenizer(BPE), "ok"
    yield "tok_spm", tokenizer(SPM), "ok"
    yield "tok_no_model", tokenizer(BPE, model=None), "'tokenizer.ggml.model' is missing"
    yield "tok_model", tokenizer(BPE, model=(STR, text("bert"))), "'bert' is not supported"
    yield "tok_pre", tokenizer(BPE, pre=(STR, text("klingon"))), "'klingon' is not supported"
    yield "tok_pre_type", tokenizer(BPE, pre=(U32, u32(1))), "must be a string"
    yield "tok_no_tokens", tokenizer(BPE, tokens=None), "'tokenizer.ggml.tokens' is missing"
    yield "tok_empty", tokenizer(BPE, tokens=(ARRAY, strings([]))), "has 0 tokens"
    yield "tok_ints", tokenizer(BPE, tokens=(ARRAY, i32s([1]))), "must be of string"
    yield "tok_twice", tokenizer(BPE, tokens=(ARRAY, strings(["a", "b", "a", "c"]))), \
        "token 2 has the same text as token 0"
    yield "tok_types", tokenizer(BPE, token_type=(ARRAY, i32s([1]))), "has 1 elements, must have 4"
    yield "tok_odd_types", tokenizer(BPE, token_type=(ARRAY, i32s([-1, 0, 99, 2**31 - 1]))), "ok"
    yield "tok_no_merges", tokenizer(BPE, merges=None), "'tokenizer.ggml.merges' is missing"
    yield "tok_odd_merges", tokenizer(BPE, merges=(ARRAY, strings(
        ["", " ", "a", "a ", " b", "a  b", "a b", "a b", "q r", "ab ab"]))), "ok"
    yield "tok_bos", tokenizer(BPE, bos_token_id=(U32, u32(4))), "bos_token_id is 4"
    yield "tok_eos", tokenizer(BPE, eos_token_id=(I32, struct.pack("<i", -1))), "must not be neg"
    yield "tok_flag", tokenizer(BPE, add_bos_token=(U8, b"\1")), "must be a bool"
    yield "tok_empty_texts", tokenizer(SPM, tokens=(ARRAY, strings(["", "x", "y", "z", "w"]))), "ok"
    yield "tok_scores", tokenizer(SPM, scores=(ARRAY, f32s([0]))), "has 1 elements, must have 5"
    yield "tok_nan", tokenizer(SPM, scores=(ARRAY, f32s([0, 0, float("nan"), 0, 0]))), \
        "token 2 has NaN"
    yield "tok_infinite", tokenizer(SPM, scores=(ARRAY, f32s(
        [0, float("inf"), float("-inf"), -0.0, 1e38]))), "ok"
    yield "tok_bad_bytes", tokenizer(SPM, tokens=(ARRAY, strings(
        ["<0x4", "<0xZZ>", "\u2581", b"\xff\xfe", b"\xe2\x96"])),
        token_type=(ARRAY, i32s([6, 6, 6, 1, 1]))), "ok"


def main():
    OUT.mkdir(exist_ok=True)
    for old in OUT.iterdir():
        old.unlink()
    lines = []
    for name, raw, expect in cases():
        (OUT / f"{name}.gguf").write_bytes(raw)
        lines.append(f"{name}.gguf\t{expect}\n")
    (OUT / "expect.txt").write_text("".join(lines))
    lines = []
    for name, raw, expect in tokenizer_cases():
        (OUT / f"{name}.gguf").write_bytes(raw)
        lines.append(f"{name}.gguf\t{expect}\n")
    (OUT / "expect_tokenizer.txt").write_text("".join(lines))


main()
