# SPDX-License-Identifier: Apache-2.0
"""A model of some hundred KB with a tokenizer, for tests of slow devices: random weights, so its text
means nothing, but it is the same on every backend."""
import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, TokenType

N_EMBD, N_FF, N_LAYER, N_HEAD, N_HEAD_KV, HEAD_DIM, N_CTX = 128, 256, 2, 4, 2, 64, 512


def byte_letters():
    """The letter that stands for each byte in byte-level BPE (GPT-2)."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in plain]
    letters = {b: chr(b) for b in plain}
    letters.update({b: chr(256 + i) for i, b in enumerate(others)})
    return [letters[b] for b in range(256)]


def write_tiny_model(path):
    rng = np.random.default_rng(7)
    tokens = [*byte_letters(), "th", "<|end|>"]
    w = GGUFWriter(path, "llama")
    w.add_vocab_size(len(tokens))
    w.add_context_length(N_CTX)
    w.add_block_count(N_LAYER)
    w.add_embedding_length(N_EMBD)
    w.add_feed_forward_length(N_FF)
    w.add_head_count(N_HEAD)
    w.add_head_count_kv(N_HEAD_KV)
    w.add_key_length(HEAD_DIM)
    w.add_value_length(HEAD_DIM)
    w.add_rope_dimension_count(HEAD_DIM)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list(tokens)
    w.add_token_types([TokenType.NORMAL] * 257 + [TokenType.CONTROL])
    w.add_token_merges(["t h"])
    w.add_eos_token_id(257)

    def matrix(name, rows, cols, scale=1.0):
        data = rng.standard_normal((rows, cols)) * scale / np.sqrt(cols)
        w.add_tensor(name, data.astype(np.float16), raw_dtype=GGMLQuantizationType.F16)

    def norm(name):
        w.add_tensor(name, (1 + 0.1 * rng.standard_normal(N_EMBD)).astype(np.float32))

    matrix("token_embd.weight", len(tokens), N_EMBD)
    matrix("output.weight", len(tokens), N_EMBD, scale=4.0)
    norm("output_norm.weight")
    for i in range(N_LAYER):
        norm(f"blk.{i}.attn_norm.weight")
        norm(f"blk.{i}.ffn_norm.weight")
        matrix(f"blk.{i}.attn_q.weight", N_HEAD * HEAD_DIM, N_EMBD)
        matrix(f"blk.{i}.attn_k.weight", N_HEAD_KV * HEAD_DIM, N_EMBD)
        matrix(f"blk.{i}.attn_v.weight", N_HEAD_KV * HEAD_DIM, N_EMBD)
        matrix(f"blk.{i}.attn_output.weight", N_EMBD, N_HEAD * HEAD_DIM)
        matrix(f"blk.{i}.ffn_gate.weight", N_FF, N_EMBD)
        matrix(f"blk.{i}.ffn_up.weight", N_FF, N_EMBD)
        matrix(f"blk.{i}.ffn_down.weight", N_EMBD, N_FF)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
