/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/gpu/share.h"

#include "engine/gguf/gguf.h"
#include "kernels/linear/matrix_layout.h"

static uint32_t block_of(const struct weir_gguf_tensor *t)
{
    return weir_tensor_type_info(t->type)->block_elems;
}

/* Blocks are powers of two: the largest is a multiple of the others. */
static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* The fewest heads whose columns of attn_output end with a block. */
static uint32_t unit_of_heads(const struct weir_model *model)
{
    const struct weir_hparams *hp = &model->hparams;
    const uint32_t columns = hp->n_head / hp->n_head_kv * hp->head_dim;
    uint32_t block = 1;
    for (uint32_t i = 0; i < hp->n_layer; i++) {
        block = larger(block, block_of(model->weights.layers[i].o));
    }
    uint32_t unit = 1;
    while (unit * columns % block != 0) {
        unit *= 2;
    }
    return unit;
}

static uint32_t unit_of_ff(const struct weir_model *model)
{
    uint32_t block = WEIR_TILE_ROWS; /* also rows of gate and up */
    for (uint32_t i = 0; i < model->hparams.n_layer; i++) {
        block = larger(block, block_of(model->weights.layers[i].down));
    }
    return block;
}

/* The share of [0, total) in whole units; the last one has what is behind the last unit. */
static struct weir_gpu_range cut(uint32_t total, uint32_t unit, uint32_t rank, uint32_t n_ranks)
{
    const uint32_t n_units = total / unit;
    struct weir_gpu_range range = {
        .begin = (uint32_t)((uint64_t)n_units * rank / n_ranks) * unit,
        .end = (uint32_t)((uint64_t)n_units * (rank + 1) / n_ranks) * unit,
    };
    if (rank + 1 == n_ranks) {
        range.end = total;
    }
    return range;
}

static int check_units(const char *what, uint32_t total, uint32_t unit, uint32_t n_ranks,
                       struct weir_error *err)
{
    if (total / unit >= n_ranks) {
        return 0;
    }
    return weir_error_set(err, WEIR_E_UNSUPPORTED,
                          "the model cannot be split over %u devices: its %s of %u goes in parts "
                          "of %u",
                          n_ranks, what, total, unit);
}

int weir_gpu_share_find(const struct weir_model *model, uint32_t rank, uint32_t n_ranks,
                        struct weir_gpu_share *ret_share, struct weir_error *err)
{
    const struct weir_hparams *hp = &model->hparams;
    const uint32_t heads = n_ranks > 1 ? unit_of_heads(model) : 1;
    const uint32_t ff = n_ranks > 1 ? unit_of_ff(model) : 1;
    int rc = n_ranks > 1
                 ? check_units("attention.head_count_kv", hp->n_head_kv, heads, n_ranks, err)
                 : 0;
    if (rc >= 0 && n_ranks > 1) {
        rc = check_units("feed_forward_length", hp->n_ff, ff, n_ranks, err);
        rc = rc < 0 ? rc : check_units("vocabulary", hp->n_vocab, WEIR_TILE_ROWS, n_ranks, err);
    }
    if (rc < 0) {
        return rc;
    }
    *ret_share = (struct weir_gpu_share){
        .rank = rank,
        .n_ranks = n_ranks,
        .kv_heads = cut(hp->n_head_kv, heads, rank, n_ranks),
        .ff = cut(hp->n_ff, ff, rank, n_ranks),
        .vocab = cut(hp->n_vocab, WEIR_TILE_ROWS, rank, n_ranks),
    };
    return 0;
}

static uint32_t width(struct weir_gpu_range range)
{
    return range.end - range.begin;
}

void weir_gpu_share_hparams(const struct weir_gpu_share *s, struct weir_hparams *hp)
{
    const uint32_t group = hp->n_head / hp->n_head_kv;
    hp->n_head_kv = width(s->kv_heads);
    hp->n_head = hp->n_head_kv * group;
    hp->n_ff = width(s->ff);
}

static bool ends_branch(const struct weir_op *op)
{
    return op->kind == WEIR_OP_LINEAR && (op->in == WEIR_BUFFER_ATT || op->in == WEIR_BUFFER_H);
}

void weir_gpu_share_rewrite(const struct weir_gpu_share *s, struct weir_graph *graph)
{
    bool has_delta = false;
    for (uint32_t i = 0; s->n_ranks > 1 && i < graph->n_ops; i++) {
        struct weir_op *op = &graph->ops[i];
        if (ends_branch(op)) {
            op->out = WEIR_BUFFER_DELTA;
            op->add = false;
            has_delta = true;
        } else if (op->kind == WEIR_OP_NORM && has_delta) {
            op->delta = WEIR_BUFFER_DELTA;
            has_delta = false;
        }
    }
}

bool weir_gpu_share_is_sum(const struct weir_gpu_share *s, const struct weir_op *op)
{
    return s->n_ranks > 1 && (ends_branch(op) || op->out == WEIR_BUFFER_LOGITS);
}

struct weir_gpu_slice weir_gpu_share_slice(const struct weir_gpu_share *s,
                                           const struct weir_hparams *whole,
                                           const struct weir_op *op, uint32_t k)
{
    const struct weir_gguf_tensor *t = op->weights[k];
    const uint32_t per_kv_head = whole->n_head / whole->n_head_kv * whole->head_dim;
    const uint32_t per_row = k == 0 ? per_kv_head : whole->head_dim; /* of q; of k and v */
    struct weir_gpu_slice slice = {.n_rows = (uint32_t)t->dims[1],
                                   .n_columns = (uint32_t)t->dims[0]};
    if (op->out == WEIR_BUFFER_QKV) {
        slice.row = s->kv_heads.begin * per_row;
        slice.n_rows = width(s->kv_heads) * per_row;
    } else if (op->out == WEIR_BUFFER_GATE_UP) {
        slice.row = s->ff.begin;
        slice.n_rows = width(s->ff);
    } else if (op->out == WEIR_BUFFER_LOGITS) {
        slice.row = s->vocab.begin;
        slice.n_rows = width(s->vocab);
    } else if (op->in == WEIR_BUFFER_ATT) {
        slice.column = s->kv_heads.begin * per_kv_head;
        slice.n_columns = width(s->kv_heads) * per_kv_head;
    } else if (op->in == WEIR_BUFFER_H) {
        slice.column = s->ff.begin;
        slice.n_columns = width(s->ff);
    }
    return slice;
}
