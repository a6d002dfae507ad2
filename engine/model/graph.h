/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A model's forward pass as a list of device ops, written once for all backends.
 *
 * Why: architectures differ in which ops they need and with what weights; backends differ in how
 * an op runs. The list is the seam: a new architecture adds nothing to a backend as long as it is
 * made of these ops, a new backend fills one function per op kind.
 *
 * Granularity: an op is what a GPU does well in one kernel and a CPU between two barriers. Products
 * that share an input are one LINEAR with several weights (Q, K, V; gate, up), whose output rows
 * lie under each other. Residual additions ride on LINEAR (`add`) or, where a norm stands between
 * (Gemma's post norms), on the next NORM (`delta`). A backend may fuse neighbours: NORM into the
 * LINEAR behind it, GLU into the LINEAR before it, ROPE_KV into ATTENTION for single tokens.
 *
 * Buffers are rows of floats, one row per token of the step, in the backend's memory. SELECT leaves
 * only the rows whose logits are wanted, in order; the ops behind it work on those.
 * Ownership: a graph owns its ops; weights point into the model's GGUF file.
 * Threads: read-only after build. */
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/model/hparams.h"

struct weir_gguf_tensor;
struct weir_weights;

enum weir_op_kind {
    WEIR_OP_EMBED,     /* out = weight[token] * scale */
    WEIR_OP_NORM,      /* in += RMSNorm(delta) * post where there is a delta;
                          out = RMSNorm(in) * weight */
    WEIR_OP_LINEAR,    /* out = weights in + bias, or out += that when `add` */
    WEIR_OP_ROPE_KV,   /* in place on QKV: q/k norm where given, rotation of q and k; k and v of the
                          step's tokens go to the layer's KV pages */
    WEIR_OP_ATTENTION, /* out = softmax(scale q K^T, causal, window) V, grouped KV heads */
    WEIR_OP_GLU,       /* out = activation(gate) * up */
    WEIR_OP_SELECT     /* keeps the wanted rows of `in` and `out` */
};

enum weir_buffer {
    WEIR_BUFFER_NONE,
    WEIR_BUFFER_X,       /* [n_embd] the residual stream */
    WEIR_BUFFER_N,       /* [n_embd] normed input of a LINEAR */
    WEIR_BUFFER_QKV,     /* [(n_head + 2 n_head_kv) * head_dim] q, k, v */
    WEIR_BUFFER_ATT,     /* [n_head * head_dim] */
    WEIR_BUFFER_GATE_UP, /* [2 n_ff] */
    WEIR_BUFFER_H,       /* [n_ff] */
    WEIR_BUFFER_DELTA,   /* [n_embd] a branch's output that still needs its post norm */
    WEIR_BUFFER_LOGITS,  /* [n_vocab] */
    WEIR_BUFFER__COUNT
};

enum { WEIR_OP_WEIGHTS_MAX = 3 };

struct weir_op {
    enum weir_op_kind kind;
    uint32_t layer; /* the KV pages' layer; n_layer for the ops behind the last */
    enum weir_buffer in, out;
    const struct weir_gguf_tensor *weights[WEIR_OP_WEIGHTS_MAX]; /* EMBED, NORM, LINEAR */
    const struct weir_gguf_tensor *biases[WEIR_OP_WEIGHTS_MAX];  /* LINEAR; all or none */
    uint32_t n_weights;
    bool add;                                       /* LINEAR */
    enum weir_buffer delta;                         /* NORM: NONE or DELTA */
    const struct weir_gguf_tensor *post;            /* NORM: weight of the delta's norm */
    const struct weir_gguf_tensor *q_norm, *k_norm; /* ROPE_KV: NULL where the model has none */
    uint32_t rope;                                  /* ROPE_KV: index in hparams.rope */
    uint32_t window;                                /* ATTENTION: 0 is all keys */
    float scale;                                    /* EMBED, ATTENTION */
};

struct weir_graph {
    struct weir_op *ops;
    uint32_t n_ops;
};

WEIR_NODISCARD int weir_graph_build(const struct weir_hparams *hparams,
                                    const struct weir_weights *weights,
                                    struct weir_graph *ret_graph);
void weir_graph_finish(struct weir_graph *graph);

/* Floats per row of a buffer. */
uint32_t weir_graph_width(const struct weir_hparams *hparams, enum weir_buffer buffer);
