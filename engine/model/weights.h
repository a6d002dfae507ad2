/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The tensors of a decoder by role, found in a GGUF file and checked against the hyper-parameters.
 *
 * Ownership: the layer array is owned; tensors and their bytes belong to the GGUF file.
 * Threads: read-only after the load.
 * Errors: a missing tensor, a wrong shape or a type without kernels is named in the sentence.
 * Invariant: every non-NULL tensor has the shape that its role asks for. */
#include <stdint.h>

#include "base/error.h"
#include "engine/model/hparams.h"

struct weir_gguf;
struct weir_gguf_tensor;

struct weir_layer_weights {
    const struct weir_gguf_tensor *attn_norm, *ffn_norm;           /* F32 [n_embd] */
    const struct weir_gguf_tensor *attn_post_norm, *ffn_post_norm; /* F32 [n_embd] or NULL */
    const struct weir_gguf_tensor *q, *k, *v;                      /* [heads * head_dim][n_embd] */
    const struct weir_gguf_tensor *q_bias, *k_bias, *v_bias;       /* F32 or NULL */
    const struct weir_gguf_tensor *q_norm, *k_norm;                /* F32 [head_dim] or NULL */
    const struct weir_gguf_tensor *o;                              /* [n_embd][n_head * head_dim] */
    const struct weir_gguf_tensor *gate, *up;                      /* [n_ff][n_embd] */
    const struct weir_gguf_tensor *down;                           /* [n_embd][n_ff] */
};

struct weir_weights {
    const struct weir_gguf_tensor *embed;        /* [n_vocab][n_embd] */
    const struct weir_gguf_tensor *output_norm;  /* F32 [n_embd] */
    const struct weir_gguf_tensor *head;         /* [n_vocab][n_embd]; == embed when tied */
    const struct weir_gguf_tensor *rope_factors; /* F32 [n_rot / 2] or NULL */
    struct weir_layer_weights *layers;           /* [n_layer] */
};

/* Also sets hparams->n_vocab (rows of the embedding) and rope[].has_factors. */
WEIR_NODISCARD int weir_weights_read(const struct weir_gguf *gguf, struct weir_hparams *hparams,
                                     struct weir_weights *ret_weights, struct weir_error *err);
void weir_weights_finish(struct weir_weights *weights);
