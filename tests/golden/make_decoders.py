#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/decoders/: small random models of every architecture, and their logits.

    LLAMA_CPP_LIB_PATH=... python tests/golden/make_decoders.py

Needs numpy, gguf and llama-cpp-python. NAME.gguf has odd sizes and a mix of tensor types; NAME.bin
holds what exact_model.py says of it, for tests/unit/backends_cpu/test_decoders.c:

    u32 n_tokens, n_rows, n_vocab; f32 error of llama.cpp (relative L2 over the rows);
    i32 tokens[n_tokens]; u32 rows[n_rows]; f32 logits[n_rows][n_vocab]
"""
import pathlib
import sys

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import GGUFWriter
from gguf.quants import quantize

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from exact_model import ExactModel  # noqa: E402

HERE = pathlib.Path(__file__).parent / "decoders"
N_TOKENS = 300
ROWS = [0, 1, 15, 16, 63, 64, 65, 200, 255, 256, 299]  # edges of pages, blocks and chunks
rng = np.random.default_rng(20240917)


def k_quant(rows, cols, kind):
    """Random blocks: gguf packs no K-quants. Scales are chosen so that weights are about 1/16."""
    block = {T.Q4_K: 144, T.Q5_K: 176, T.Q6_K: 210}[kind]
    data = rng.integers(0, 256, (rows, cols // 256, block), dtype=np.uint8)
    def put(at, value):
        data[:, :, at:at + 2] = np.frombuffer(np.float16(value).tobytes(), np.uint8)
    if kind == T.Q6_K:
        data[:, :, 192:208] = rng.integers(-40, 40, (rows, cols // 256, 16)).astype(np.int8).view(np.uint8)
        put(208, 0.0001)
    else:
        put(0, 0.0005 if kind == T.Q4_K else 0.00025)
        put(2, 0.0038)
    return data.reshape(rows, -1)


class Maker:
    def __init__(self, name, arch, **shape):
        self.writer = GGUFWriter(HERE / f"{name}.gguf", arch)
        self.shape = shape
        w = self.writer
        w.add_vocab_size(shape["vocab"])
        w.add_context_length(512)
        w.add_block_count(shape["layers"])
        w.add_embedding_length(shape["embd"])
        w.add_feed_forward_length(shape["ff"])
        w.add_head_count(shape["heads"])
        w.add_head_count_kv(shape["kv"])
        w.add_key_length(shape["dim"])
        w.add_value_length(shape["dim"])
        w.add_rope_dimension_count(shape["dim"])
        w.add_layer_norm_rms_eps(1e-5)
        w.add_rope_freq_base(shape.get("base", 10000.0))
        w.add_string("tokenizer.ggml.model", "none")

    def vector(self, name, n, mean=1.0):
        self.writer.add_tensor(name, (mean + 0.2 * rng.standard_normal(n)).astype(np.float32))

    def matrix(self, name, rows, cols, kind):
        if kind in (T.Q4_K, T.Q5_K, T.Q6_K):
            self.writer.add_tensor(name, k_quant(rows, cols, kind), raw_dtype=kind)
            return
        x = (rng.standard_normal((rows, cols)) / np.sqrt(cols)).astype(np.float32)
        if kind == T.F32:
            self.writer.add_tensor(name, x)
        elif kind == T.F16:
            self.writer.add_tensor(name, x.astype(np.float16))
        else:
            self.writer.add_tensor(name, quantize(x, kind), raw_dtype=kind)

    def layers(self, kinds, bias=False, qk_norm=False, post_norm=False):
        s = self.shape
        q, kv = s["heads"] * s["dim"], s["kv"] * s["dim"]
        for i in range(s["layers"]):
            b = f"blk.{i}."
            self.vector(b + "attn_norm.weight", s["embd"])
            self.vector(b + "ffn_norm.weight", s["embd"])
            for name, rows, cols in (("attn_q", q, s["embd"]), ("attn_k", kv, s["embd"]),
                                     ("attn_v", kv, s["embd"]), ("attn_output", s["embd"], q),
                                     ("ffn_gate", s["ff"], s["embd"]),
                                     ("ffn_up", s["ff"], s["embd"]),
                                     ("ffn_down", s["embd"], s["ff"])):
                self.matrix(b + name + ".weight", rows, cols, kinds[name])
                if bias and name in ("attn_q", "attn_k", "attn_v"):
                    self.vector(b + name + ".bias", rows, 0.0)
            if qk_norm:
                self.vector(b + "attn_q_norm.weight", s["dim"])
                self.vector(b + "attn_k_norm.weight", s["dim"])
            if post_norm:
                self.vector(b + "post_attention_norm.weight", s["embd"])
                self.vector(b + "post_ffw_norm.weight", s["embd"])

    def finish(self, embed, head=None):
        s = self.shape
        self.matrix("token_embd.weight", s["vocab"], s["embd"], embed)
        self.vector("output_norm.weight", s["embd"])
        if head is not None:
            self.matrix("output.weight", s["vocab"], s["embd"], head)
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_tensors_to_file()
        self.writer.close()


def kinds(q, k, v, o, gate, up, down):
    return dict(zip(("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up",
                     "ffn_down"), (q, k, v, o, gate, up, down)))


def make_models():
    m = Maker("llama", "llama", vocab=331, layers=3, embd=96, ff=160, heads=6, kv=2, dim=32,
              base=500000.0)
    m.layers(kinds(T.Q4_0, T.Q5_0, T.Q8_0, T.Q5_1, T.Q4_1, T.Q8_0, T.F16))
    m.writer.add_tensor("rope_freqs.weight", np.concatenate(
        [np.ones(6), np.linspace(1, 8, 6), np.full(4, 8.0)]).astype(np.float32))
    m.finish(T.Q8_0, head=T.Q4_1)
    m = Maker("qwen2", "qwen2", vocab=257, layers=2, embd=80, ff=72, heads=5, kv=1, dim=16)
    m.layers(kinds(T.F16, T.F16, T.BF16, T.F32, T.F16, T.BF16, T.F16), bias=True)
    m.finish(T.F16)
    m = Maker("qwen3", "qwen3", vocab=301, layers=2, embd=256, ff=256, heads=4, kv=4, dim=64,
              base=1000000.0)
    m.layers(kinds(T.Q4_K, T.Q5_K, T.Q6_K, T.Q4_K, T.Q5_K, T.Q4_K, T.Q6_K), qk_norm=True)
    m.finish(T.Q6_K)
    m = Maker("gemma3", "gemma3", vocab=290, layers=7, embd=64, ff=96, heads=4, kv=1, dim=48,
              base=1000000.0)
    m.writer.add_sliding_window(20)
    m.layers(kinds(T.Q5_0, T.Q5_0, T.Q8_0, T.Q4_0, T.Q5_0, T.Q5_1, T.Q8_0), qk_norm=True,
             post_norm=True)
    m.finish(T.Q8_0)


def llama_logits(path, tokens):
    import llama_cpp
    engine = llama_cpp.Llama(str(path), n_ctx=512, n_batch=512, n_threads=2, logits_all=True,
                             verbose=False)
    engine.eval([int(t) for t in tokens])
    return np.array(engine.scores[:len(tokens)])


def main():
    HERE.mkdir(exist_ok=True)
    make_models()
    for name in ("llama", "qwen2", "qwen3", "gemma3"):
        path = HERE / f"{name}.gguf"
        model = ExactModel(path)
        n_vocab = model.tensors["token_embd.weight"].shape[1]
        tokens = rng.integers(0, n_vocab, N_TOKENS).astype(np.int32)
        exact = model.logits(model.hidden(tokens))[ROWS].astype(np.float32)
        theirs = llama_logits(path, tokens)[ROWS]
        error = np.linalg.norm(theirs - exact) / np.linalg.norm(exact)
        print(name, path.stat().st_size, "error of llama.cpp", error)
        with open(HERE / f"{name}.bin", "wb") as f:
            f.write(np.array([N_TOKENS, len(ROWS), n_vocab], np.uint32).tobytes())
            f.write(np.float32(error).tobytes())
            f.write(tokens.tobytes() + np.array(ROWS, np.uint32).tobytes() + exact.tobytes())


if __name__ == "__main__":
    main()
