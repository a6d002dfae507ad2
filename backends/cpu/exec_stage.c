/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "backends/cpu/exec.h"
#include "engine/sampling/sample.h"

/* y for weir_cpu_linear so that its row `row` lands on out[0]. An integer, because the pointer may
 * lie before the buffer; nothing before out[0] is written. */
static float *shifted(float *out, uint32_t row)
{
    return (float *)((uintptr_t)out - (uintptr_t)row * sizeof(float));
}

/* The first output row of a tile. */
static uint32_t row_of(const struct weir_cpu_matrix *m, uint32_t tile)
{
    for (uint32_t i = 0; i < m->n_segments; i++) {
        const struct weir_cpu_segment *s = &m->segments[i];
        if (tile < s->tile_begin + s->n_tiles) {
            return s->row_begin + (tile - s->tile_begin) * m->isa->tile_rows;
        }
    }
    return m->n_rows;
}

static float *row_at(const struct weir_cpu_exec *e, enum weir_cpu_rows rows, uint32_t i)
{
    return e->rows[rows] + (size_t)i * e->plan->widths[rows];
}

static void embed(struct weir_cpu_exec *e, const struct weir_cpu_stage *s, uint32_t row)
{
    const struct weir_hparams *hp = &e->plan->hparams;
    float *x = row_at(e, s->out, row);
    weir_cpu_matrix_row(s->matrix, (uint32_t)e->batch.token[row], x);
    if (s->scale != 1.0f) {
        e->ops->scale(x, s->scale, hp->n_embd, x);
    }
    const int n_ropes = hp->window ? 2 : 1;
    for (int k = 0; k < n_ropes; k++) {
        float *cos_sin = e->cos_sin[k] + (size_t)row * hp->n_rot;
        for (uint32_t i = 0; i < hp->n_rot / 2; i++) {
            double angle = e->batch.pos[row] * e->rope_steps[k][i];
            cos_sin[2 * i] = (float)cos(angle);
            cos_sin[2 * i + 1] = (float)sin(angle);
        }
    }
}

/* n = RMSNorm(x), where x is first moved by the post-normed delta. */
static void norm(struct weir_cpu_exec *e, const struct weir_cpu_stage *s, uint32_t row, float *x,
                 float *n)
{
    const struct weir_hparams *hp = &e->plan->hparams;
    const float *in = row_at(e, s->in, row);
    if (s->post) {
        e->ops->rms_norm(row_at(e, WEIR_CPU_ROWS_DELTA, row), s->post, hp->norm_eps, hp->n_embd, x);
        e->ops->add(x, in, hp->n_embd);
        in = x;
    }
    e->ops->rms_norm(in, s->norm, hp->norm_eps, hp->n_embd, n);
}

static void norm_item(struct weir_cpu_exec *e, const struct weir_cpu_stage *s, uint32_t row)
{
    float *n = row_at(e, WEIR_CPU_ROWS_N, row);
    norm(e, s, row, row_at(e, s->moved, row), n);
    if (e->plan->input_blocks[s->input]) {
        weir_cpu_act_quantise_row(&e->input[s->input], e->plan->isa, &s->matrix->outliers, row, n);
    }
}

static void quantise_item(struct weir_cpu_exec *e, const struct weir_cpu_stage *s, uint32_t row)
{
    if (e->plan->input_blocks[s->input]) {
        weir_cpu_act_quantise_row(&e->input[s->input], e->plan->isa, &s->matrix->outliers, row,
                                  row_at(e, s->in, row));
    }
}

void weir__cpu_stage_prologue(struct weir_cpu_exec *e, uint32_t stage, uint32_t thread)
{
    const struct weir_cpu_stage *s = &e->plan->stages[stage];
    const uint32_t n_rows = weir_cpu_exec_rows(e, stage);
    if ((s->kind != WEIR_CPU_STAGE_LINEAR && s->kind != WEIR_CPU_STAGE_GLU) ||
        s->prologue == WEIR_CPU_NO_PROLOGUE || n_rows > WEIR_CPU_NARROW_ROWS) {
        return;
    }
    const struct weir_cpu_stage *before = &e->plan->stages[s->prologue];
    struct weir_cpu_bench *bench = &e->benches[thread];
    struct weir_cpu_act *act = &bench->input[s->input];
    const uint32_t n_cols = e->plan->input_cols[s->input];
    const float *rows = e->rows[before->in];
    if (before->kind == WEIR_CPU_STAGE_NORM) {
        rows = bench->n;
        for (uint32_t i = 0; i < n_rows; i++) {
            float *x = bench->x + (size_t)i * n_cols;
            norm(e, before, i, x, bench->n + (size_t)i * n_cols);
            if (before->post &&
                thread == 0) { /* others read `in` now, and `moved` a barrier later */
                memcpy(row_at(e, before->moved, i), x, n_cols * sizeof(float));
            }
        }
    }
    weir_cpu_act_set_rows(act, rows, n_cols);
    if (e->plan->input_blocks[s->input]) {
        weir_cpu_act_quantise(act, e->plan->isa, &s->matrix->outliers, 0, n_rows);
    }
    if (e->seen && thread == 0) {
        weir__cpu_outliers_see(e->seen[stage], rows, n_rows, n_cols);
    }
}

/* The input of a product: the thread's own in a narrow step with a prologue, else the shared one.
 */
static const struct weir_cpu_act *input_of(const struct weir_cpu_exec *e,
                                           const struct weir_cpu_stage *s, uint32_t n_rows,
                                           const struct weir_cpu_bench *bench)
{
    bool is_own = s->prologue != WEIR_CPU_NO_PROLOGUE && n_rows <= WEIR_CPU_NARROW_ROWS;
    return is_own ? &bench->input[s->input] : &e->input[s->input];
}

static void linear_items(struct weir_cpu_exec *e, const struct weir_cpu_stage *s, uint32_t n_rows,
                         struct weir_cpu_bench *bench, uint32_t item, uint32_t n_items)
{
    const struct weir_cpu_matrix *m = s->matrix;
    const uint32_t tiles = WEIR_CPU_ITEM_ROWS / m->isa->tile_rows;
    const uint32_t begin = item * tiles;
    const uint32_t past = begin + n_items * tiles;
    const uint32_t end = past < m->n_tiles ? past : m->n_tiles;
    const uint32_t row = row_of(m, begin);
    const uint32_t n = row_of(m, end) - row;
    const struct weir_cpu_act *in = input_of(e, s, n_rows, bench);
    if (!s->add) {
        weir_cpu_linear(m, begin, end, in, n_rows, e->rows[s->out], e->plan->widths[s->out]);
        for (uint32_t t = 0; s->bias && t < n_rows; t++) {
            e->ops->add(row_at(e, s->out, t) + row, s->bias + row, n);
        }
        return;
    }
    weir_cpu_linear(m, begin, end, in, n_rows, shifted(bench->rows, row), WEIR_CPU_TAKE_ROWS);
    for (uint32_t t = 0; t < n_rows; t++) {
        e->ops->add(row_at(e, s->out, t) + row, bench->rows + (size_t)t * WEIR_CPU_TAKE_ROWS, n);
    }
}

/* gate and up of the items' rows, their product, and its quantisation. */
static void glu_items(struct weir_cpu_exec *e, const struct weir_cpu_stage *s, uint32_t n_rows,
                      struct weir_cpu_bench *bench, uint32_t item, uint32_t n_items)
{
    const struct weir_cpu_matrix *m = s->matrix;
    const uint32_t n_ff = e->plan->hparams.n_ff;
    const uint32_t tiles = WEIR_CPU_ITEM_ROWS / m->isa->tile_rows;
    const uint32_t n_tiles = m->segments[0].n_tiles;
    const uint32_t begin = item * tiles;
    const uint32_t past = begin + n_items * tiles;
    const uint32_t end = past < n_tiles ? past : n_tiles;
    const uint32_t row = begin * m->isa->tile_rows;
    const uint32_t row_end = row + n_items * WEIR_CPU_ITEM_ROWS;
    const uint32_t n = (row_end < n_ff ? row_end : n_ff) - row;
    const struct weir_cpu_act *in = input_of(e, s, n_rows, bench);
    struct weir_cpu_act *h = &e->input[WEIR_CPU_INPUT_H];
    float *gate = bench->rows;
    float *up = bench->rows + (size_t)n_rows * WEIR_CPU_TAKE_ROWS;
    weir_cpu_linear(m, begin, end, in, n_rows, shifted(gate, row), WEIR_CPU_TAKE_ROWS);
    weir_cpu_linear(m, n_tiles + begin, n_tiles + end, in, n_rows, shifted(up, n_ff + row),
                    WEIR_CPU_TAKE_ROWS);
    for (uint32_t t = 0; t < n_rows; t++) {
        float *g = gate + (size_t)t * WEIR_CPU_TAKE_ROWS;
        const float *u = up + (size_t)t * WEIR_CPU_TAKE_ROWS;
        if (e->plan->hparams.activation == WEIR_ACTIVATION_SILU) {
            e->ops->glu_silu(g, u, n, g);
        } else {
            e->ops->glu_gelu(g, u, n, g);
        }
        if (e->plan->input_blocks[WEIR_CPU_INPUT_H]) {
            struct weir_cpu_act_block *blocks =
                h->groups + (size_t)(t / WEIR_CPU_ACT_LANES) * h->n_blocks + item;
            m->isa->quantise(g, n / WEIR_CPU_BLOCK, blocks, t % WEIR_CPU_ACT_LANES);
        }
        if (e->plan->input_floats[WEIR_CPU_INPUT_H]) {
            memcpy(row_at(e, s->out, t) + row, g, n * sizeof(float));
        }
    }
}

/* Keeps the wanted rows; ascending, so that no row is overwritten before it is moved. */
static void select_rows(struct weir_cpu_exec *e, const struct weir_cpu_stage *s)
{
    const enum weir_cpu_rows moved[] = {s->in, s->out};
    for (int k = 0; k < 2; k++) {
        size_t n_bytes = e->plan->widths[moved[k]] * sizeof(float);
        for (uint32_t i = 0; i < e->batch.n_out; i++) {
            if (e->batch.out_rows[i] != i) {
                memcpy(row_at(e, moved[k], i), row_at(e, moved[k], e->batch.out_rows[i]), n_bytes);
            }
        }
    }
}

static void sample(struct weir_cpu_exec *e, struct weir_cpu_bench *bench, uint32_t i)
{
    const struct weir_cpu_part *part = &e->batch.parts[e->batch.out_parts[i]];
    part->result->rc =
        weir_sample(bench->sampler, row_at(e, WEIR_CPU_ROWS_LOGITS, i), part->in, part->result);
}

void weir__cpu_stage_run(struct weir_cpu_exec *e, uint32_t stage, uint32_t thread, uint32_t begin,
                         uint32_t n)
{
    const struct weir_cpu_stage *s = &e->plan->stages[stage];
    const uint32_t n_rows = weir_cpu_exec_rows(e, stage);
    struct weir_cpu_bench *bench = &e->benches[thread];
    if (s->kind == WEIR_CPU_STAGE_LINEAR) {
        linear_items(e, s, n_rows, bench, begin, n);
        return;
    }
    if (s->kind == WEIR_CPU_STAGE_GLU) {
        glu_items(e, s, n_rows, bench, begin, n);
        return;
    }
    for (uint32_t i = begin; i < begin + n; i++) {
        switch (s->kind) {
        case WEIR_CPU_STAGE_EMBED: embed(e, s, i); break;
        case WEIR_CPU_STAGE_NORM: norm_item(e, s, i); break;
        case WEIR_CPU_STAGE_QUANTISE: quantise_item(e, s, i); break;
        case WEIR_CPU_STAGE_LINEAR:
        case WEIR_CPU_STAGE_GLU: break; /* above */
        case WEIR_CPU_STAGE_ROPE: weir__cpu_rope_row(e, s, e->batch.rope_rows[i]); break;
        case WEIR_CPU_STAGE_ATTEND: weir__cpu_attend_item(e, s, bench, &e->batch.items[i]); break;
        case WEIR_CPU_STAGE_MERGE: weir__cpu_merge_item(e, bench, &e->batch.merges[i]); break;
        case WEIR_CPU_STAGE_SELECT: select_rows(e, s); break;
        case WEIR_CPU_STAGE_SAMPLE: sample(e, bench, i); break;
        }
    }
}
