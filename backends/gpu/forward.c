/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of a forward pass, op by op, as the graph lists them. */
#include <stdio.h>

#include "backends/gpu/rank.h"
#include "kernels/embed/embed.h"
#include "kernels/glu/glu.h"
#include "kernels/norm/rms_norm.h"
#include "kernels/rope_kv/rope_kv.h"
#include "kernels/select_rows/select_rows.h"
#include "kernels/to_half/to_half.h"

/* What the launches of one pass have in common. */
struct pass {
    struct weir_gpu_rank *m;
    uint32_t n_rows;  /* of the present op: behind SELECT the wanted ones */
    uint32_t n_items; /* attention's list is empty: 0 */
    uint32_t n_tiles;
    bool decode;
    float *const *rows; /* buffers of the present op */
};

/* Launches what an op filled in; n is what its launch function returned. */
static int put(struct weir_gpu_rank *m, const struct weir_gpu_launch *launches, int n)
{
    int rc = n < 0 ? n : 0;
    for (int i = 0; rc >= 0 && i < n; i++) {
        rc = weir_gpu_device_launch(&m->device, &launches[i]);
    }
    return rc;
}

#define PUT(m, op, args)                                                                           \
    ({                                                                                             \
        struct weir_gpu_launch launches[4];                                                        \
        int n_launches = weir_##op##_launch(args, &(m)->device.info.props, launches);              \
        put(m, launches, n_launches);                                                              \
    })

static int embed(const struct pass *p, const struct weir_gpu_stage *s)
{
    const struct weir_gpu_rank *m = p->m;
    const struct weir_embed_args args = {
        .table = m->weights.embed,
        .ids = weir_gpu_batch_on_device(&m->batch, WEIR_GPU_PIECE_TOKENS),
        .out = p->rows[s->op->out],
        .row_bytes = m->weights.embed_row_bytes,
        .type = m->weights.embed_type,
        .n_tokens = p->n_rows,
        .n_embd = m->hparams.n_embd,
        .n_vocab = m->hparams.n_vocab,
        .scale = s->op->scale,
    };
    return PUT(p->m, embed, &args);
}

static int norm(const struct pass *p, const struct weir_gpu_stage *s)
{
    const struct weir_gpu_rank *m = p->m;
    const struct weir_rms_norm_args args = {
        .x = p->rows[s->op->in],
        .delta = s->op->delta ? p->rows[s->op->delta] : NULL,
        .post = s->post,
        .weight = s->norm,
        .y_f16 = m->scratch.halves,
        .n_rows = p->n_rows,
        .n = m->hparams.n_embd,
        .eps = m->hparams.norm_eps,
    };
    return PUT(p->m, rms_norm, &args);
}

static int rope_kv(const struct pass *p, const struct weir_gpu_stage *s)
{
    const struct weir_gpu_rank *m = p->m;
    const struct weir_hparams *hp = &m->hparams;
    const struct weir_rope_kv_args args = {
        .qkv = p->rows[s->op->in],
        .pos = weir_gpu_batch_on_device(&m->batch, WEIR_GPU_PIECE_POS),
        .table = weir_gpu_batch_on_device(&m->batch, WEIR_GPU_PIECE_TABLE),
        .pages = weir_gpu_batch_on_device(&m->batch, WEIR_GPU_PIECE_PAGES),
        .q_norm = s->q_norm,
        .k_norm = s->k_norm,
        .turns = m->weights.turns[s->op->rope],
        .kv = weir_kv_layer(m->kv, m->options.kv_type, hp->n_layer, s->op->layer, hp->n_head_kv,
                            hp->head_dim),
        .n_tokens = p->n_rows,
        .pages_stride = m->batch.pages_stride,
        .n_head = hp->n_head,
        .n_rot = hp->n_rot,
        .is_neox = hp->rope_neox,
        .eps = hp->norm_eps,
        .magnitude = 1.0f,
    };
    return PUT(p->m, rope_kv, &args);
}

static int attend_singles(const struct pass *p, const struct weir_gpu_stage *s)
{
    const struct weir_gpu_rank *m = p->m;
    const struct weir_hparams *hp = &m->hparams;
    const struct weir_attn_decode_args args = {
        .q = p->rows[s->op->in],
        .out = p->rows[s->op->out],
        .parts = weir_gpu_batch_on_device(&m->batch, WEIR_GPU_PIECE_PARTS),
        .items = weir_gpu_batch_on_device(&m->batch, WEIR_GPU_PIECE_ITEMS),
        .n_items = weir_gpu_batch_on_device(&m->batch, WEIR_GPU_PIECE_COUNTS),
        .pages = weir_gpu_batch_on_device(&m->batch, WEIR_GPU_PIECE_PAGES),
        .partials = m->scratch.partials,
        .arrivals = m->scratch.arrivals,
        .kv = weir_kv_layer(m->kv, m->options.kv_type, hp->n_layer, s->op->layer, hp->n_head_kv,
                            hp->head_dim),
        .q_stride = weir_graph_width(hp, s->op->in),
        .out_stride = weir_graph_width(hp, s->op->out),
        .pages_stride = m->batch.pages_stride,
        .n_head = hp->n_head,
        .window = s->op->window,
        .scale = s->op->scale,
    };
    struct weir_gpu_launch launch;
    int n = weir_attn_decode_launch(&args, m->batch.max_items, &m->device.info.props, &launch);
    return put(p->m, &launch, n);
}

static int attend_tiles(const struct pass *p, const struct weir_gpu_stage *s)
{
    const struct weir_gpu_rank *m = p->m;
    const struct weir_hparams *hp = &m->hparams;
    const struct weir_attn_prefill_args args = {
        .q = p->rows[s->op->in],
        .out = p->rows[s->op->out],
        .parts = weir_gpu_batch_on_device(&m->batch, WEIR_GPU_PIECE_PARTS),
        .tiles = weir_gpu_batch_on_device(&m->batch, WEIR_GPU_PIECE_TILES),
        .pages = weir_gpu_batch_on_device(&m->batch, WEIR_GPU_PIECE_PAGES),
        .kv = weir_kv_layer(m->kv, m->options.kv_type, hp->n_layer, s->op->layer, hp->n_head_kv,
                            hp->head_dim),
        .q_stride = weir_graph_width(hp, s->op->in),
        .out_stride = weir_graph_width(hp, s->op->out),
        .pages_stride = m->batch.pages_stride,
        .n_tiles = p->n_tiles,
        .n_head = hp->n_head,
        .window = s->op->window,
        .is_causal = 1,
        .scale = s->op->scale,
    };
    return PUT(p->m, attn_prefill, &args);
}

static int attend(const struct pass *p, const struct weir_gpu_stage *s)
{
    int rc = p->n_items > 0 ? attend_singles(p, s) : 0;
    return rc >= 0 && p->n_tiles > 0 ? attend_tiles(p, s) : rc;
}

static int to_half(const struct pass *p, enum weir_buffer buffer, uint16_t *out)
{
    const struct weir_to_half_args args = {
        .in = p->rows[buffer],
        .out = out,
        .n = (uint64_t)p->n_rows * weir_graph_width(&p->m->hparams, buffer),
    };
    return PUT(p->m, to_half, &args);
}

/* Where gate and up are of one type, the GLU is part of their product. */
static bool is_joined(const struct weir_gpu_stage *linear)
{
    return linear->op->out == WEIR_BUFFER_GATE_UP && weir_gpu_linear_takes_glu(&linear->linear);
}

int weir__gpu_rank_sum(struct weir_gpu_rank *m, float *data, size_t n)
{
    int rc = weir_gpu_group_sum(m->group, m->share.rank, m->device.stream, data, n);
    if (rc < 0) {
        snprintf(m->failure, sizeof(m->failure), "%s", weir_gpu_group_error_text(m->group));
    }
    return rc;
}

static int linear(const struct pass *p, const struct weir_gpu_stage *s)
{
    struct weir_gpu_rank *m = p->m;
    const bool joined = is_joined(s);
    const struct weir_gpu_product product = {
        .x = s->op->in == WEIR_BUFFER_H ? m->scratch.halves_h : m->scratch.halves,
        .y = joined ? NULL : p->rows[s->op->out],
        .y_f16 = joined ? m->scratch.halves_h : NULL,
        .n_tokens = p->n_rows,
        .add = s->op->add,
        .glu = joined,
        .activation = m->hparams.activation,
        .scratch = m->scratch.linear,
    };
    const bool is_sum = weir_gpu_share_is_sum(&m->share, s->op);
    const uint64_t n_sums = (uint64_t)p->n_rows * weir_graph_width(&m->hparams, s->op->out);
    int rc = s->op->in == WEIR_BUFFER_ATT ? to_half(p, WEIR_BUFFER_ATT, m->scratch.halves) : 0;
    if (rc >= 0 && is_sum && s->op->out == WEIR_BUFFER_LOGITS) { /* others have the other rows */
        rc = m->device.api->fill(m->device.stream, product.y, 0, n_sums * sizeof(float));
    }
    rc = rc < 0 ? rc : weir_gpu_linear_multiply(&s->linear, &m->device, &product);
    return rc < 0 || !is_sum ? rc : weir__gpu_rank_sum(m, product.y, n_sums);
}

static int glu(const struct pass *p, const struct weir_gpu_stage *s)
{
    const struct weir_hparams *hp = &p->m->hparams;
    if (is_joined(s - 1)) {
        return 0;
    }
    const struct weir_glu_args args = {
        .gate_up = p->rows[s->op->in],
        .out = p->rows[s->op->out],
        .n_tokens = p->n_rows,
        .n_ff = hp->n_ff,
        .activation = hp->activation == WEIR_ACTIVATION_SILU ? WEIR_GLU_SILU : WEIR_GLU_GELU,
    };
    int rc = PUT(p->m, glu, &args);
    return rc < 0 ? rc : to_half(p, s->op->out, p->m->scratch.halves_h);
}

/* The wanted rows of both buffers into memory of their own. */
static int select_rows(const struct pass *p, const struct weir_gpu_stage *s, uint32_t n_out)
{
    const enum weir_buffer moved[] = {s->op->in, s->op->out};
    int rc = 0;
    for (int k = 0; rc >= 0 && k < 2; k++) {
        const struct weir_select_rows_args args = {
            .in = p->m->scratch.rows[moved[k]],
            .out = p->m->scratch.chosen[moved[k]],
            .rows = weir_gpu_batch_on_device(&p->m->batch, WEIR_GPU_PIECE_OUT_ROWS),
            .n_rows = n_out,
            .width = weir_graph_width(&p->m->hparams, moved[k]),
        };
        rc = PUT(p->m, select_rows, &args);
    }
    return rc;
}

static int run_stage(const struct pass *p, const struct weir_gpu_stage *s)
{
    switch (s->op->kind) {
    case WEIR_OP_EMBED: return embed(p, s);
    case WEIR_OP_NORM: return norm(p, s);
    case WEIR_OP_LINEAR: return linear(p, s);
    case WEIR_OP_ROPE_KV: return rope_kv(p, s);
    case WEIR_OP_ATTENTION: return attend(p, s);
    case WEIR_OP_GLU: return glu(p, s);
    case WEIR_OP_SELECT: return 0; /* in the loop below */
    }
    return WEIR_E_UNSUPPORTED;
}

int weir__gpu_forward(struct weir_gpu_rank *m, uint32_t n_rows, uint32_t n_out, bool decode)
{
    struct pass p = {
        .m = m,
        .n_rows = n_rows,
        .n_items = decode ? 1 : m->batch.n_items,
        .n_tiles = decode ? 0 : m->batch.n_tiles,
        .decode = decode,
        .rows = m->scratch.rows,
    };
    int rc = 0;
    for (uint32_t i = 0; rc >= 0 && i < m->weights.n_stages; i++) {
        const struct weir_gpu_stage *s = &m->weights.stages[i];
        if (s->op->kind == WEIR_OP_SELECT) {
            if (n_out == 0) {
                break; /* nobody wants logits of this step */
            }
            if (!decode) { /* else every row is wanted, in order */
                rc = select_rows(&p, s, n_out);
                p.rows = m->scratch.chosen;
                p.n_rows = n_out;
            }
            continue;
        }
        /* Devices that share a model all take the same way: they look when the pass is over. */
        if (!decode && m->share.n_ranks == 1 &&
            atomic_load_explicit(&m->interrupted, memory_order_relaxed)) {
            return WEIR_E_CANCELLED;
        }
        rc = run_stage(&p, s);
    }
    return rc;
}
