/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What one of several devices holds of a model that is split over them (tensor parallelism).
 *
 * How: a device has whole KV heads with the query heads that read them, the same columns of the
 * feed-forward layer in gate, up and down, and rows of the head. So attention and the feed-forward
 * layer run without the others; what they add to the residual stream is a sum over the devices, and
 * so are logits, to which each adds zeros outside its rows. Embedding and norms are everywhere.
 * Quantised blocks are never cut: heads and columns go in units that end at blocks of the tensors
 * whose columns are split (attn_output, ffn_down). Devices get as many units each as there are, or
 * one more.
 * Values. Threads: any. Errors: WEIR_E_UNSUPPORTED, naming what there is too little of. */
#include "engine/model/model.h"

struct weir_gpu_range {
    uint32_t begin, end;
};

struct weir_gpu_share {
    uint32_t rank, n_ranks;
    struct weir_gpu_range kv_heads, ff, vocab;
};

/* The part of a matrix that a device holds. */
struct weir_gpu_slice {
    uint32_t row, n_rows, column, n_columns;
};

WEIR_NODISCARD int weir_gpu_share_find(const struct weir_model *model, uint32_t rank,
                                       uint32_t n_ranks, struct weir_gpu_share *ret_share,
                                       struct weir_error *err);

/* The model as the ops of the device see it: its heads, its columns; the vocabulary is whole. */
void weir_gpu_share_hparams(const struct weir_gpu_share *s, struct weir_hparams *hp);
/* Ops that add to the residual stream go to DELTA instead, to be summed; the next NORM adds it. */
void weir_gpu_share_rewrite(const struct weir_gpu_share *s, struct weir_graph *graph);
/* Of weights[k] of a LINEAR; `whole`: the model's, not the device's. */
struct weir_gpu_slice weir_gpu_share_slice(const struct weir_gpu_share *s,
                                           const struct weir_hparams *whole,
                                           const struct weir_op *op, uint32_t k);
/* The output of this op is a sum over the devices. */
bool weir_gpu_share_is_sum(const struct weir_gpu_share *s, const struct weir_op *op);
