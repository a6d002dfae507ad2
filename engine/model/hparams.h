/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The numbers that fix a decoder's shape and arithmetic, read from a GGUF file's metadata.
 *
 * Why: the graph and every backend work from these, never from metadata keys.
 * Architectures: llama (SmolLM2, Llama 2 and 3), qwen2, qwen3, gemma3.
 * Ownership: plain values. Threads: any.
 * Errors: WEIR_E_UNSUPPORTED for an architecture or variant that is not built, WEIR_E_FORMAT for a
 * missing key or a value out of range; the sentence names the key.
 * Invariants after load: counts within the WEIR_MODEL_*_MAX bounds, n_head % n_head_kv == 0,
 * n_rot even and <= head_dim. */
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct weir_gguf;

enum {
    WEIR_MODEL_LAYERS_MAX = 512,
    WEIR_MODEL_EMBD_MAX = 65536,
    WEIR_MODEL_FF_MAX = 1 << 18,
    WEIR_MODEL_HEADS_MAX = 512,
    WEIR_MODEL_HEAD_DIM_MAX = 512,
    WEIR_MODEL_VOCAB_MAX = 1 << 20,
    WEIR_MODEL_CTX_MAX = 1 << 22,
    WEIR_MODEL_ROPES_MAX = 2 /* global and sliding-window layers */
};

enum weir_activation { WEIR_ACTIVATION_SILU, WEIR_ACTIVATION_GELU_TANH };

/* Angle of pair i at position p: p * scale * base^(-2i / n_rot) / factors[i]. */
struct weir_rope {
    float base;
    float scale;      /* 1 / linear scaling factor */
    bool has_factors; /* the model's rope_freqs tensor applies (Llama 3) */
};

struct weir_hparams {
    char arch[32];
    uint32_t n_vocab; /* 0 until the weights are read */
    uint32_t n_ctx_train;
    uint32_t n_layer, n_embd, n_ff;
    uint32_t n_head, n_head_kv, head_dim;
    uint32_t n_rot;
    float norm_eps;
    float attn_scale;  /* of q . k */
    float embed_scale; /* of the embedding rows */
    enum weir_activation activation;
    bool rope_neox; /* pairs (i, i + n_rot / 2); else (2i, 2i + 1) */
    bool has_qk_norm, has_post_norm, has_qkv_bias;
    struct weir_rope rope[WEIR_MODEL_ROPES_MAX]; /* [0] global, [1] sliding-window layers */
    uint32_t window; /* keys that a sliding-window layer sees, the own included; 0: no such layer */
    uint8_t is_sliding[WEIR_MODEL_LAYERS_MAX]; /* 1: layer uses `window` and rope[1] */
};

WEIR_NODISCARD int weir_hparams_read(const struct weir_gguf *gguf, struct weir_hparams *ret_hparams,
                                     struct weir_error *err);
