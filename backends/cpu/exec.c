/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cpu/exec.h"

#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "engine/sampling/sample.h"

enum { ALIGN = 64 };

/* Hands out aligned pieces of the scratch mapping; with base NULL it only counts. */
struct cutter {
    char *base;
    size_t used_bytes;
};

static void *cut(struct cutter *c, size_t n, size_t size)
{
    char *piece = c->base ? c->base + c->used_bytes : NULL;
    c->used_bytes += (n * size + ALIGN - 1) / ALIGN * ALIGN;
    return piece;
}

static void cut_act(struct cutter *c, struct weir_cpu_act *act, uint32_t n_cols, uint32_t n_tokens)
{
    void *storage = cut(c, weir_cpu_act_bytes(n_cols, n_tokens), 1);
    weir_cpu_act_init(act, storage, n_cols, n_tokens);
}

static uint32_t widest_input(const struct weir_cpu_plan *plan)
{
    uint32_t widest = 0;
    for (int i = 0; i < WEIR_CPU_INPUT__COUNT; i++) {
        widest = plan->input_cols[i] > widest ? plan->input_cols[i] : widest;
    }
    return widest;
}

static void cut_bench(struct cutter *c, const struct weir_cpu_exec *e, struct weir_cpu_bench *bench)
{
    const struct weir_hparams *hp = &e->plan->hparams;
    const size_t rows = WEIR_CPU_ATTEND_ROWS_MAX;
    bench->rows =
        cut(c, (size_t)e->batch.limits.max_tokens * 2 * WEIR_CPU_TAKE_ROWS, sizeof(float));
    bench->x = cut(c, (size_t)WEIR_CPU_NARROW_ROWS * hp->n_embd, sizeof(float));
    bench->n = cut(c, (size_t)WEIR_CPU_NARROW_ROWS * widest_input(e->plan), sizeof(float));
    for (int i = 0; i < WEIR_CPU_INPUT__COUNT; i++) {
        cut_act(c, &bench->input[i], e->plan->input_cols[i], WEIR_CPU_NARROW_ROWS);
    }
    bench->q = cut(c, rows * hp->head_dim, sizeof(float));
    bench->scores = cut(c, rows * WEIR_CPU_ATTEND_BLOCK, sizeof(float));
    bench->max = cut(c, rows, sizeof(float));
    bench->sum = cut(c, rows, sizeof(float));
    bench->out = cut(c, rows * hp->head_dim, sizeof(float));
    bench->run_max = cut(c, rows, sizeof(float));
    bench->run_sum = cut(c, rows, sizeof(float));
    bench->run_out = cut(c, rows * hp->head_dim, sizeof(float));
    bench->kv = cut(c, (size_t)2 * hp->head_dim, sizeof(float));
}

static void cut_all(struct cutter *c, struct weir_cpu_exec *e)
{
    const struct weir_cpu_plan *plan = e->plan;
    const struct weir_hparams *hp = &plan->hparams;
    const size_t n_tokens = e->batch.limits.max_tokens;
    for (int i = 0; i < WEIR_CPU_ROWS__COUNT; i++) {
        size_t n_rows = i == WEIR_CPU_ROWS_LOGITS ? e->batch.limits.max_parts : n_tokens;
        e->rows[i] = cut(c, n_rows * plan->widths[i], sizeof(float));
    }
    for (int i = 0; i < WEIR_CPU_INPUT__COUNT; i++) {
        cut_act(c, &e->input[i], plan->input_cols[i], (uint32_t)n_tokens);
    }
    for (int i = 0; i < WEIR_MODEL_ROPES_MAX; i++) {
        e->cos_sin[i] = cut(c, n_tokens * hp->n_rot, sizeof(float));
        e->rope_steps[i] = cut(c, hp->n_rot / 2, sizeof(double));
    }
    size_t group = hp->n_head / hp->n_head_kv;
    e->partials = cut(c, e->batch.max_partials * group * (hp->head_dim + 2), sizeof(float));
    e->ranges = cut(c, (size_t)plan->n_stages * e->n_threads, sizeof(*e->ranges));
    e->n_items = cut(c, plan->n_stages, sizeof(*e->n_items));
    e->stage_us = cut(c, plan->n_stages, sizeof(*e->stage_us));
    for (uint32_t i = 0; i < e->n_threads; i++) {
        cut_bench(c, e, &e->benches[i]);
    }
}

static void set_rope_steps(struct weir_cpu_exec *e)
{
    const struct weir_hparams *hp = &e->plan->hparams;
    for (int k = 0; k < WEIR_MODEL_ROPES_MAX; k++) {
        const struct weir_rope *rope = &hp->rope[k];
        for (uint32_t i = 0; i < hp->n_rot / 2; i++) {
            double step = rope->scale * pow(rope->base, -2.0 * i / hp->n_rot);
            e->rope_steps[k][i] = rope->has_factors ? step / e->plan->rope_factors[i] : step;
        }
    }
}

int weir_cpu_exec_init(struct weir_cpu_exec *e, const struct weir_cpu_plan *plan,
                       const struct weir_cpu_ops *ops, struct weir_cpu_pool *pool,
                       const struct weir_cpu_kv *kv, const struct weir_cpu_limits *limits)
{
    *e = (struct weir_cpu_exec){
        .plan = plan,
        .ops = ops,
        .pool = pool,
        .kv = kv,
        .n_threads = weir_cpu_pool_size(pool),
    };
    int rc = weir_cpu_batch_init(&e->batch, &plan->hparams, limits);
    e->benches = calloc(e->n_threads, sizeof(*e->benches));
    if (rc < 0 || !e->benches) {
        weir_cpu_exec_finish(e);
        return WEIR_E_NOMEM;
    }
    struct cutter counter = {0};
    cut_all(&counter, e);
    void *map =
        mmap(NULL, counter.used_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) {
        weir_cpu_exec_finish(e);
        return WEIR_E_NOMEM;
    }
    e->scratch = map;
    e->scratch_bytes = counter.used_bytes;
    cut_all(&(struct cutter){.base = map}, e);
    for (uint32_t i = 0; i < e->n_threads; i++) {
        rc = weir_sampler_create(plan->hparams.n_vocab, &e->benches[i].sampler);
        if (rc < 0) {
            weir_cpu_exec_finish(e);
            return rc;
        }
    }
    weir_cpu_act_set_rows(&e->input[WEIR_CPU_INPUT_N], e->rows[WEIR_CPU_ROWS_N],
                          plan->widths[WEIR_CPU_ROWS_N]);
    weir_cpu_act_set_rows(&e->input[WEIR_CPU_INPUT_ATT], e->rows[WEIR_CPU_ROWS_ATT],
                          plan->widths[WEIR_CPU_ROWS_ATT]);
    weir_cpu_act_set_rows(&e->input[WEIR_CPU_INPUT_H], e->rows[WEIR_CPU_ROWS_H],
                          plan->widths[WEIR_CPU_ROWS_H]);
    set_rope_steps(e);
    return 0;
}

void weir_cpu_exec_finish(struct weir_cpu_exec *e)
{
    for (uint32_t i = 0; e->benches && i < e->n_threads; i++) {
        weir_sampler_destroy(e->benches[i].sampler);
    }
    free(e->benches);
    if (e->scratch) {
        munmap(e->scratch, e->scratch_bytes);
    }
    weir_cpu_batch_finish(&e->batch);
    *e = (struct weir_cpu_exec){0};
}

uint32_t weir_cpu_exec_rows(const struct weir_cpu_exec *e, uint32_t stage)
{
    return stage > e->plan->select ? e->batch.n_out : e->batch.n_tokens;
}

static uint32_t tile_groups(const struct weir_cpu_exec *e, uint32_t n_tiles)
{
    uint32_t tiles = WEIR_CPU_ITEM_ROWS / e->plan->isa->tile_rows;
    return (n_tiles + tiles - 1) / tiles;
}

static uint32_t count_items(const struct weir_cpu_exec *e, uint32_t stage)
{
    const struct weir_cpu_stage *s = &e->plan->stages[stage];
    const struct weir_cpu_batch *b = &e->batch;
    const uint32_t n_rows = weir_cpu_exec_rows(e, stage);
    switch (s->kind) {
    case WEIR_CPU_STAGE_EMBED: return n_rows;
    case WEIR_CPU_STAGE_NORM:
    case WEIR_CPU_STAGE_QUANTISE: return n_rows > WEIR_CPU_NARROW_ROWS ? n_rows : 0;
    case WEIR_CPU_STAGE_LINEAR: return n_rows ? tile_groups(e, s->matrix->n_tiles) : 0;
    case WEIR_CPU_STAGE_GLU: return n_rows ? tile_groups(e, s->matrix->segments[0].n_tiles) : 0;
    case WEIR_CPU_STAGE_ROPE: return b->n_rope_rows;
    case WEIR_CPU_STAGE_ATTEND: return b->n_items;
    case WEIR_CPU_STAGE_MERGE: return b->n_merges;
    case WEIR_CPU_STAGE_SELECT: return b->n_out < b->n_tokens && b->n_out > 0 ? 1 : 0;
    case WEIR_CPU_STAGE_SAMPLE: return b->n_out;
    }
    return 0;
}

static uint32_t items_at_once(enum weir_cpu_stage_kind kind)
{
    return kind == WEIR_CPU_STAGE_LINEAR || kind == WEIR_CPU_STAGE_GLU ? WEIR_CPU_TAKE_ITEMS : 1;
}

static uint32_t next_with_items(const struct weir_cpu_exec *e, uint32_t stage)
{
    do {
        stage++;
    } while (stage < e->plan->n_stages && e->n_items[stage] == 0);
    return stage;
}

/* Thread 0 looks for all, behind its share of a stage, whether that was the last one for now: the
 * next one takes about what it took the batch before. */
static bool stops(struct weir_cpu_exec *e, uint32_t stage)
{
    if (atomic_load_explicit(&e->cancelled, memory_order_relaxed)) {
        return true;
    }
    if (e->until_us == UINT64_MAX) {
        return false;
    }
    uint64_t now_us = weir_clock_mono_us();
    const float n_rows = (float)e->batch.n_tokens;
    e->stage_us[stage] = (float)(now_us - e->stage_began_us) / n_rows;
    e->stage_began_us = now_us;
    uint32_t next = next_with_items(e, stage);
    float next_us = next < e->plan->n_stages ? e->stage_us[next] * n_rows : 0;
    return now_us + (uint64_t)next_us >= e->until_us;
}

static void run_thread(void *arg, uint32_t thread)
{
    struct weir_cpu_exec *e = arg;
    const uint32_t n_stages = e->plan->n_stages;
    for (uint32_t i = e->next_stage; i < n_stages; i++) {
        weir_cpu_range_init(&e->ranges[(size_t)i * e->n_threads + thread], e->n_items[i], thread,
                            e->n_threads);
    }
    weir_cpu_pool_barrier(e->pool, thread);
    for (uint32_t i = e->next_stage; i < n_stages; i++) {
        if (e->n_items[i] == 0) {
            continue;
        }
        weir__cpu_stage_prologue(e, i, thread);
        struct weir_cpu_range *ranges = &e->ranges[(size_t)i * e->n_threads];
        const uint32_t grain = items_at_once(e->plan->stages[i].kind);
        uint32_t begin = 0;
        uint32_t n = 0;
        while ((n = weir_cpu_range_take(ranges, thread, e->n_threads, grain, &begin)) > 0) {
            weir__cpu_stage_run(e, i, thread, begin, n);
        }
        if (thread == 0 && stops(e, i)) {
            atomic_store_explicit(&e->last_stage, i, memory_order_relaxed);
        }
        weir_cpu_pool_barrier(e->pool, thread);
        if (i >= atomic_load_explicit(&e->last_stage, memory_order_relaxed)) {
            return;
        }
    }
}

void weir_cpu_exec_begin(struct weir_cpu_exec *e)
{
    for (uint32_t i = 0; i < e->plan->n_stages; i++) {
        e->n_items[i] = count_items(e, i);
    }
    e->next_stage = e->batch.n_tokens > 0 ? 0 : e->plan->n_stages;
}

int weir_cpu_exec_run(struct weir_cpu_exec *e, uint64_t until_us)
{
    const uint32_t n_stages = e->plan->n_stages;
    if (e->next_stage == n_stages) {
        return 1;
    }
    e->until_us = until_us;
    e->stage_began_us = weir_clock_mono_us();
    atomic_store_explicit(&e->cancelled, false, memory_order_relaxed);
    atomic_store_explicit(&e->last_stage, n_stages - 1, memory_order_relaxed);
    weir_cpu_pool_run(e->pool, run_thread, e);
    e->next_stage = atomic_load_explicit(&e->last_stage, memory_order_relaxed) + 1;
    bool is_done = e->next_stage == n_stages;
    return is_done ? 1 : atomic_load(&e->cancelled) ? WEIR_E_CANCELLED : 0;
}

int weir_cpu_exec_run_whole(struct weir_cpu_exec *e)
{
    weir_cpu_exec_begin(e);
    int rc = weir_cpu_exec_run(e, UINT64_MAX);
    return rc < 0 ? rc : 0;
}

void weir_cpu_exec_cancel(struct weir_cpu_exec *e)
{
    atomic_store_explicit(&e->cancelled, true, memory_order_relaxed);
}
