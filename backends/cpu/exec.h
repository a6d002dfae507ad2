/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Runs a plan's stages over a batch on the pool's threads.
 *
 * Why: everything that a step writes to lives here and is allocated once, so that a step allocates
 * nothing and the plan stays read-only.
 * Between two stages the scratch alone says how far a batch has come: run() may stop there and go
 * on later, whatever another exec on the same pool does meanwhile. Ownership: exec owns its scratch
 * and borrows plan, pool and KV. Threads: begin() and run() by the model's thread, cancel() by any.
 * Errors: run() returns WEIR_E_CANCELLED after cancel(); sampling failures go to the parts. */
#include <stdatomic.h>
#include <stdbool.h>

#include "backends/cpu/batch.h"
#include "backends/cpu/kv.h"
#include "backends/cpu/plan.h"

struct weir_sampler;

/* One thread's own memory. */
struct weir_cpu_bench {
    float *rows;  /* [max_tokens][2 * WEIR_CPU_TAKE_ROWS] outputs of LINEAR or GLU items */
    float *x, *n; /* [4][widest input] prologue of a narrow step */
    struct weir_cpu_act input[WEIR_CPU_INPUT__COUNT]; /* of up to 4 tokens */
    float *q, *scores, *max, *sum, *out;              /* attention, one chunk */
    float *run_max, *run_sum, *run_out;               /* attention, all chunks so far */
    float *kv;                                        /* [2][head_dim] */
    struct weir_sampler *sampler;
};

struct weir_cpu_exec {
    const struct weir_cpu_plan *plan;
    const struct weir_cpu_ops *ops;
    struct weir_cpu_pool *pool;
    const struct weir_cpu_kv *kv;
    struct weir_cpu_batch batch;
    uint32_t n_threads;

    char *scratch; /* one mapping for everything below */
    size_t scratch_bytes;
    float *rows[WEIR_CPU_ROWS__COUNT];
    struct weir_cpu_act input[WEIR_CPU_INPUT__COUNT];
    float *cos_sin[WEIR_MODEL_ROPES_MAX];     /* [max_tokens][n_rot] */
    double *rope_steps[WEIR_MODEL_ROPES_MAX]; /* [n_rot / 2] angle per position */
    float *partials;                          /* [max_partials][group * (head_dim + 2)] */
    struct weir_cpu_bench *benches;           /* [n_threads] */
    struct weir_cpu_range *ranges;            /* [n_stages][n_threads] */
    uint32_t *n_items;                        /* [n_stages] of this step */
    uint32_t next_stage;                      /* of this step; n_stages: it is done */
    float *stage_us;                          /* [n_stages] for a row, when last run in pieces */
    uint64_t until_us;                        /* when run() stops */
    uint64_t stage_began_us;                  /* thread 0's */

    uint32_t **seen; /* [n_stages][n_cols] while outliers are looked for, else NULL */

    atomic_bool cancelled;
    /* Threads leave after this stage; thread 0 lowers it before a barrier, the others read it
     * behind it. A stage number, not a flag: a late reader of an earlier barrier must not leave
     * early. */
    _Atomic uint32_t last_stage;
};

WEIR_NODISCARD int weir_cpu_exec_init(struct weir_cpu_exec *e, const struct weir_cpu_plan *plan,
                                      const struct weir_cpu_ops *ops, struct weir_cpu_pool *pool,
                                      const struct weir_cpu_kv *kv,
                                      const struct weir_cpu_limits *limits);
void weir_cpu_exec_finish(struct weir_cpu_exec *e); /* copes with a zeroed or half-built exec */

/* Makes the batch that was set in e->batch the one that run() works on. */
void weir_cpu_exec_begin(struct weir_cpu_exec *e);
/* Runs stages until the batch is done: 1; or one at least, and then those that are likely to end by
 * until_us: 0, call it again. */
WEIR_NODISCARD int weir_cpu_exec_run(struct weir_cpu_exec *e, uint64_t until_us);
/* begin() and run() to the end: 0. */
WEIR_NODISCARD int weir_cpu_exec_run_whole(struct weir_cpu_exec *e);
void weir_cpu_exec_cancel(struct weir_cpu_exec *e);

/* Rows that a stage works on: those of all tokens, or behind SELECT the sampled ones. */
uint32_t weir_cpu_exec_rows(const struct weir_cpu_exec *e, uint32_t stage);

/* A run of items of one stage (exec_stage.c). */
void weir__cpu_stage_run(struct weir_cpu_exec *e, uint32_t stage, uint32_t thread, uint32_t begin,
                         uint32_t n);
/* What a thread does for itself before a stage's first item, in narrow steps. */
void weir__cpu_stage_prologue(struct weir_cpu_exec *e, uint32_t stage, uint32_t thread);
/* find_outliers.c: adds what rows [n_rows][n_cols], a product's input, show to `sums`. */
void weir__cpu_outliers_see(uint32_t *sums, const float *rows, uint32_t n_rows, uint32_t n_cols);
/* exec_attend.c */
void weir__cpu_rope_row(struct weir_cpu_exec *e, const struct weir_cpu_stage *s, uint32_t row);
void weir__cpu_attend_item(struct weir_cpu_exec *e, const struct weir_cpu_stage *s,
                           struct weir_cpu_bench *bench, const struct weir_cpu_attend_item *item);
void weir__cpu_merge_item(struct weir_cpu_exec *e, struct weir_cpu_bench *bench,
                          const struct weir_cpu_merge_item *item);

enum { WEIR_CPU_NARROW_ROWS = WEIR_CPU_ACT_LANES };
