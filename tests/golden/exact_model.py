# SPDX-License-Identifier: Apache-2.0
"""The yardstick: a plain f32 forward pass in numpy over a GGUF file's dequantised weights.

Written from the papers and the models' published configurations, with no quantised activation,
no KV rounding and no approximate function, so that every engine's error can be measured from it.
"""
import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize


class ExactModel:
    def __init__(self, path):
        reader = GGUFReader(path)
        self.meta = {k: v.contents() for k, v in reader.fields.items()
                     if not k.startswith(("GGUF", "tokenizer"))}
        self.tensors = {t.name: t for t in reader.tensors}
        self.cache = {}
        arch = self.arch = self.meta["general.architecture"]
        if arch not in ("llama", "qwen2", "qwen3", "gemma3"):
            raise ValueError(f"architecture {arch}")
        self.n_layer = self.key("block_count")
        self.n_embd = self.key("embedding_length")
        self.n_head = self.key("attention.head_count")
        self.n_kv = self.key("attention.head_count_kv", self.n_head)
        self.head_dim = self.key("attention.key_length", self.n_embd // self.n_head)
        self.n_rot = self.key("rope.dimension_count", self.head_dim)
        self.eps = self.key("attention.layer_norm_rms_epsilon")
        self.base = self.key("rope.freq_base", 10000.0)
        self.window = self.key("attention.sliding_window", 0) if arch == "gemma3" else 0
        self.pattern = self.key("attention.sliding_window_pattern", 6)
        self.scaling = (self.key("rope.scaling.factor", 1.0)
                        if self.key("rope.scaling.type", "none") == "linear" else 1.0)

    def key(self, name, default=None):
        value = self.meta.get(f"{self.arch}.{name}", default)
        if value is None:
            raise KeyError(name)
        return value

    def weight(self, name):
        """Dequantised tensor [rows][cols], or None."""
        if name not in self.cache:
            t = self.tensors.get(name)
            self.cache[name] = None if t is None else np.ascontiguousarray(
                dequantize(t.data, t.tensor_type), dtype=np.float32)
        return self.cache[name]

    def norm(self, x, weight):
        x64 = x.astype(np.float64)
        return (x64 / np.sqrt((x64 * x64).mean(-1, keepdims=True) + self.eps)
                * weight).astype(np.float32)

    def rope(self, x, base, scaling, factors):
        """x [T][heads][head_dim], positions 0..T-1."""
        half = self.n_rot // 2
        freq = base ** (-2.0 * np.arange(half) / self.n_rot) / scaling
        if factors is not None:
            freq = freq / factors.astype(np.float64)
        angle = np.arange(x.shape[0])[:, None] * freq[None, :]
        c = np.cos(angle).astype(np.float32)[:, None, :]
        s = np.sin(angle).astype(np.float32)[:, None, :]
        out = x.copy()
        if self.arch == "llama":
            a, b = x[..., 0:self.n_rot:2], x[..., 1:self.n_rot:2]
            out[..., 0:self.n_rot:2], out[..., 1:self.n_rot:2] = a * c - b * s, a * s + b * c
        else:
            a, b = x[..., :half], x[..., half:self.n_rot]
            out[..., :half], out[..., half:self.n_rot] = a * c - b * s, a * s + b * c
        return out

    def attention(self, layer, x):
        n_tokens = x.shape[0]
        name = f"blk.{layer}."

        def project(kind, heads):
            y = x @ self.weight(f"{name}attn_{kind}.weight").T
            bias = self.weight(f"{name}attn_{kind}.bias")
            y = y if bias is None else y + bias
            y = y.reshape(n_tokens, heads, self.head_dim)
            gain = self.weight(f"{name}attn_{kind}_norm.weight")
            return y if gain is None else self.norm(y, gain)

        sliding = self.window and layer % self.pattern < self.pattern - 1
        base, scaling, factors = ((self.key("rope.freq_base_swa", 10000.0), 1.0, None) if sliding
                                  else (self.base, self.scaling, self.weight("rope_freqs.weight")))
        q = self.rope(project("q", self.n_head), base, scaling, factors)
        k = self.rope(project("k", self.n_kv), base, scaling, factors)
        v = project("v", self.n_kv)
        group = self.n_head // self.n_kv
        distance = np.arange(n_tokens)[:, None] - np.arange(n_tokens)[None, :]
        hidden = distance < 0
        if sliding:
            hidden |= distance >= self.window
        out = np.empty_like(q)
        for h in range(self.n_head):
            scores = (q[:, h] @ k[:, h // group].T) * np.float32(1 / np.sqrt(self.head_dim))
            scores[hidden] = -np.inf
            scores -= scores.max(-1, keepdims=True)
            p = np.exp(scores)
            p /= p.sum(-1, keepdims=True)
            out[:, h] = p @ v[:, h // group]
        return out.reshape(n_tokens, -1) @ self.weight(f"{name}attn_output.weight").T

    def feed_forward(self, layer, x):
        name = f"blk.{layer}."
        gate = x @ self.weight(f"{name}ffn_gate.weight").T
        up = x @ self.weight(f"{name}ffn_up.weight").T
        if self.arch == "gemma3":
            g = gate * gate * gate * np.float32(0.044715) + gate
            act = 0.5 * gate * (1 + np.tanh(np.float32(np.sqrt(2 / np.pi)) * g))
        else:
            act = gate / (1 + np.exp(-gate))
        return (act * up).astype(np.float32) @ self.weight(f"{name}ffn_down.weight").T

    def hidden(self, tokens):
        """Normed hidden states [T][n_embd] before the head."""
        x = self.weight("token_embd.weight")[np.asarray(tokens)].copy()
        if self.arch == "gemma3":
            x *= np.float32(np.sqrt(self.n_embd))
        for layer in range(self.n_layer):
            name = f"blk.{layer}."
            y = self.attention(layer, self.norm(x, self.weight(name + "attn_norm.weight")))
            post = self.weight(name + "post_attention_norm.weight")
            x = x + (y if post is None else self.norm(y, post))
            y = self.feed_forward(layer, self.norm(x, self.weight(name + "ffn_norm.weight")))
            post = self.weight(name + "post_ffw_norm.weight")
            x = x + (y if post is None else self.norm(y, post))
        return self.norm(x, self.weight("output_norm.weight"))

    def logits(self, hidden):
        head = self.weight("output.weight")
        head = self.weight("token_embd.weight") if head is None else head
        return hidden @ head.T


def log_softmax(logits):
    x = logits.astype(np.float64)
    x -= x.max()
    return x - np.log(np.exp(x).sum())


def divergence(exact, other):
    """Per position: KL(exact || other) over the whole vocabulary, and whether the arg-max agrees.

    Row by row: what belongs to one stays in the caches, all rows at once take ten times as long."""
    kl = np.empty(len(exact))
    for i, (a, b) in enumerate(zip(exact, other)):
        p, q = log_softmax(a), log_softmax(b)
        kl[i] = (np.exp(p) * (p - q)).sum()
    return kl, exact.argmax(-1) == other.argmax(-1)
