/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "backends/cpu/exec.h"

/* Norm and rotation of one head of one token, in place. */
static void turn_head(const struct weir_cpu_exec *e, const struct weir_cpu_stage *s, uint32_t row,
                      const float *weight, float *x)
{
    const struct weir_hparams *hp = &e->plan->hparams;
    const float *cos_sin = e->cos_sin[s->rope] + (size_t)row * hp->n_rot;
    if (weight) {
        e->ops->rms_norm(x, weight, hp->norm_eps, hp->head_dim, x);
    }
    if (hp->rope_neox) {
        e->ops->rope_neox(x, cos_sin, hp->n_rot);
    } else {
        e->ops->rope_pairs(x, cos_sin, hp->n_rot);
    }
}

static const float *qkv_row(const struct weir_cpu_exec *e, uint32_t row)
{
    return e->rows[WEIR_CPU_ROWS_QKV] + (size_t)row * e->plan->widths[WEIR_CPU_ROWS_QKV];
}

/* Turns the key of a token's KV head and stores key and value. k may be scratch or the row itself.
 */
static void store_key(const struct weir_cpu_exec *e, const struct weir_cpu_stage *s, uint32_t row,
                      uint32_t kv_head, float *k)
{
    const struct weir_hparams *hp = &e->plan->hparams;
    const weir_step_part *part = e->batch.parts[e->batch.part_of[row]].in;
    const float *v =
        qkv_row(e, row) + (size_t)(hp->n_head + hp->n_head_kv + kv_head) * hp->head_dim;
    turn_head(e, s, row, s->k_norm, k);
    weir_cpu_kv_write(e->kv, e->ops, s->layer, kv_head, part->pages, e->batch.pos[row], k, v);
}

void weir__cpu_rope_row(struct weir_cpu_exec *e, const struct weir_cpu_stage *s, uint32_t row)
{
    const struct weir_hparams *hp = &e->plan->hparams;
    float *q = e->rows[WEIR_CPU_ROWS_QKV] + (size_t)row * e->plan->widths[WEIR_CPU_ROWS_QKV];
    float *k = q + (size_t)hp->n_head * hp->head_dim;
    for (uint32_t head = 0; head < hp->n_head; head++) {
        turn_head(e, s, row, s->q_norm, q + (size_t)head * hp->head_dim);
    }
    for (uint32_t head = 0; head < hp->n_head_kv; head++) {
        store_key(e, s, row, head, k + (size_t)head * hp->head_dim);
    }
}

/* Fills bench->q with the item's scaled queries. A part of one token has not been rotated yet: that
 * happens here, and the item with the newest keys stores the token's own. */
static void prepare(struct weir_cpu_exec *e, const struct weir_cpu_stage *s,
                    struct weir_cpu_bench *bench, const struct weir_cpu_attend_item *item)
{
    const struct weir_hparams *hp = &e->plan->hparams;
    const struct weir_cpu_part *part = &e->batch.parts[item->part];
    const uint32_t group = hp->n_head / hp->n_head_kv;
    const size_t head_bytes = hp->head_dim * sizeof(float);
    const bool is_single = part->in->n_tokens == 1;
    float *q = bench->q;
    for (uint32_t i = 0; i < item->n_queries; i++) {
        uint32_t row = part->row + item->first + i;
        const float *heads = qkv_row(e, row) + (size_t)item->kv_head * group * hp->head_dim;
        for (uint32_t g = 0; g < group; g++, q += hp->head_dim) {
            memcpy(q, heads + (size_t)g * hp->head_dim, head_bytes);
            if (is_single) {
                turn_head(e, s, row, s->q_norm, q);
            }
            e->ops->scale(q, s->scale, hp->head_dim, q);
        }
    }
    bool has_own =
        item->chunk == WEIR_CPU_ALL_CHUNKS || item->chunk == part->in->pos / WEIR_CPU_ATTEND_CHUNK;
    if (is_single && has_own) {
        size_t head = hp->n_head + item->kv_head;
        memcpy(bench->kv, qkv_row(e, part->row) + head * hp->head_dim, head_bytes);
        store_key(e, s, part->row, item->kv_head, bench->kv);
    }
}

static void write_output(struct weir_cpu_exec *e, uint32_t row, uint32_t head, const float *out,
                         float sum)
{
    const uint32_t head_dim = e->plan->hparams.head_dim;
    float *att = e->rows[WEIR_CPU_ROWS_ATT] + (size_t)row * e->plan->widths[WEIR_CPU_ROWS_ATT];
    e->ops->scale(out, 1.0f / sum, head_dim, att + (size_t)head * head_dim);
}

static void reset_running(struct weir_cpu_bench *bench, uint32_t n_rows, uint32_t head_dim)
{
    for (uint32_t r = 0; r < n_rows; r++) {
        bench->run_max[r] = -INFINITY;
        bench->run_sum[r] = 0.0f;
    }
    memset(bench->run_out, 0, (size_t)n_rows * head_dim * sizeof(float));
}

/* Every chunk that any row of the item sees, in order, into the running result. */
static void attend_all(struct weir_cpu_exec *e, struct weir_cpu_bench *bench,
                       struct weir_cpu_attend *a)
{
    // NOLINTNEXTLINE(clang-analyzer-core.DivideZero): n_head is a multiple of n_head_kv (hparams.c)
    const uint32_t last_pos = a->pos + (a->n_rows - 1) / a->n_heads;
    const uint32_t low = a->window && a->pos + 1 > a->window ? a->pos + 1 - a->window : 0;
    reset_running(bench, a->n_rows, a->head_dim);
    for (a->chunk = low / WEIR_CPU_ATTEND_CHUNK; a->chunk <= last_pos / WEIR_CPU_ATTEND_CHUNK;
         a->chunk++) {
        e->ops->attend(a);
        for (uint32_t r = 0; r < a->n_rows; r++) {
            size_t at = (size_t)r * a->head_dim;
            e->ops->attend_merge(&bench->run_max[r], &bench->run_sum[r], bench->run_out + at,
                                 a->max[r], a->sum[r], a->out + at, a->head_dim);
        }
    }
}

/* A partial result: max[group], sum[group], out[group][head_dim]. */
static float *partial_at(const struct weir_cpu_exec *e, uint32_t partial)
{
    const struct weir_hparams *hp = &e->plan->hparams;
    size_t group = hp->n_head / hp->n_head_kv;
    return e->partials + partial * group * (hp->head_dim + 2);
}

void weir__cpu_attend_item(struct weir_cpu_exec *e, const struct weir_cpu_stage *s,
                           struct weir_cpu_bench *bench, const struct weir_cpu_attend_item *item)
{
    const struct weir_hparams *hp = &e->plan->hparams;
    const struct weir_cpu_part *part = &e->batch.parts[item->part];
    const uint32_t group = hp->n_head / hp->n_head_kv;
    prepare(e, s, bench, item);
    struct weir_cpu_attend a = {
        .n_rows = item->n_queries * group,
        .n_heads = group,
        .head_dim = hp->head_dim,
        .pos = part->in->pos + item->first,
        .window = s->window,
        .chunk = item->chunk,
        .q = bench->q,
        .kv_type = e->kv->type,
        .kv = weir_cpu_kv_head(e->kv, s->layer, item->kv_head),
        .page_stride = e->kv->page_bytes,
        .pages = part->in->pages,
        .scores = bench->scores,
        .max = bench->max,
        .sum = bench->sum,
        .out = bench->out,
    };
    if (item->chunk != WEIR_CPU_ALL_CHUNKS) {
        a.max = partial_at(e, item->partial);
        a.sum = a.max + group;
        a.out = a.sum + group;
        e->ops->attend(&a);
        return;
    }
    attend_all(e, bench, &a);
    for (uint32_t r = 0; r < a.n_rows; r++) {
        write_output(e, part->row + item->first + r / group, item->kv_head * group + r % group,
                     bench->run_out + (size_t)r * hp->head_dim, bench->run_sum[r]);
    }
}

void weir__cpu_merge_item(struct weir_cpu_exec *e, struct weir_cpu_bench *bench,
                          const struct weir_cpu_merge_item *item)
{
    const struct weir_hparams *hp = &e->plan->hparams;
    const uint32_t group = hp->n_head / hp->n_head_kv;
    reset_running(bench, group, hp->head_dim);
    for (uint32_t chunk = 0; chunk < item->n_chunks; chunk++) {
        const float *max = partial_at(e, item->partial + chunk);
        const float *sum = max + group;
        const float *out = sum + group;
        for (uint32_t g = 0; g < group; g++) {
            size_t at = (size_t)g * hp->head_dim;
            e->ops->attend_merge(&bench->run_max[g], &bench->run_sum[g], bench->run_out + at,
                                 max[g], sum[g], out + at, hp->head_dim);
        }
    }
    for (uint32_t g = 0; g < group; g++) {
        write_output(e, e->batch.parts[item->part].row, item->kv_head * group + g,
                     bench->run_out + (size_t)g * hp->head_dim, bench->run_sum[g]);
    }
}
