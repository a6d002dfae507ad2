/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A model's graph as the CPU runs it: stages with a barrier between them, and the packed weights.
 *
 * Why: a decode step of a small model is a few milliseconds, so barriers count. Compared with the
 * graph, GLU runs inside the LINEAR before it, the rotation of a single token inside its attention,
 * and in narrow steps every thread normalises and quantises for itself (`prologue`) instead of
 * waiting for another one to do it. That leaves five barriers per layer.
 * Ownership: the plan owns weights and stages; after build() the GGUF file is not needed.
 * Threads: build on one thread, with the pool's help; read-only after. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/cpu/linear/linear.h"
#include "backends/cpu/pool.h"
#include "base/arena.h"
#include "engine/model/model.h"

enum weir_cpu_stage_kind {
    WEIR_CPU_STAGE_EMBED,    /* items: tokens. Also the step's rotation tables */
    WEIR_CPU_STAGE_NORM,     /* items: tokens; wide steps only */
    WEIR_CPU_STAGE_QUANTISE, /* items: tokens; wide steps only */
    WEIR_CPU_STAGE_LINEAR,   /* items: groups of tiles */
    WEIR_CPU_STAGE_GLU,      /* items: groups of gate tiles with the same tiles of up */
    WEIR_CPU_STAGE_ROPE,     /* items: tokens of parts that have several */
    WEIR_CPU_STAGE_ATTEND,   /* items: the step's attention work list */
    WEIR_CPU_STAGE_MERGE,    /* items: rows whose keys were split over threads */
    WEIR_CPU_STAGE_SELECT,   /* one item */
    WEIR_CPU_STAGE_SAMPLE    /* items: sampled parts */
};

/* Float buffers, one row per token. */
enum weir_cpu_rows {
    WEIR_CPU_ROWS_X0, /* the residual stream; it moves between X0 and X1 where a norm adds to it */
    WEIR_CPU_ROWS_X1,
    WEIR_CPU_ROWS_N,
    WEIR_CPU_ROWS_QKV,
    WEIR_CPU_ROWS_ATT,
    WEIR_CPU_ROWS_H,
    WEIR_CPU_ROWS_DELTA,
    WEIR_CPU_ROWS_LOGITS, /* one row per sampled part */
    WEIR_CPU_ROWS__COUNT
};

/* Quantised inputs of the matrix products. */
enum weir_cpu_input {
    WEIR_CPU_INPUT_N,
    WEIR_CPU_INPUT_ATT,
    WEIR_CPU_INPUT_H,
    WEIR_CPU_INPUT__COUNT
};

enum {
    WEIR_CPU_NO_PROLOGUE = UINT32_MAX,
    WEIR_CPU_ITEM_ROWS = 32, /* of an item of LINEAR and GLU: one block of quantised outputs */
    WEIR_CPU_TAKE_ITEMS = 3, /* taken at once: 6 tiles of 16 rows keep the kernels' strips full */
    WEIR_CPU_TAKE_ROWS = WEIR_CPU_TAKE_ITEMS * WEIR_CPU_ITEM_ROWS
};

struct weir_cpu_stage {
    enum weir_cpu_stage_kind kind;
    uint32_t layer;
    enum weir_cpu_rows in, out, moved; /* NORM: x = in + post norm of DELTA is stored in `moved` */
    enum weir_cpu_input input;         /* what NORM, QUANTISE and GLU make; LINEAR and GLU read
                                          `input` and GLU makes INPUT_H */
    const struct weir_cpu_matrix *matrix; /* EMBED, LINEAR, GLU; NORM, QUANTISE: whose input */
    uint32_t prologue;                    /* LINEAR, GLU: index of the NORM or QUANTISE stage */
    const float *bias;                    /* LINEAR: [n_rows] or NULL */
    bool add;                             /* LINEAR: out += */
    const float *norm, *post;             /* NORM; post NULL without delta */
    const float *q_norm, *k_norm;         /* ROPE, ATTEND: NULL without */
    uint32_t rope;                        /* ROPE, ATTEND */
    uint32_t window;                      /* ATTEND */
    float scale;                          /* EMBED, ROPE, ATTEND */
};

struct weir_cpu_plan {
    struct weir_hparams hparams;
    const struct weir_cpu_isa *isa;
    struct weir_cpu_stage *stages;
    uint32_t n_stages;
    struct weir_cpu_matrix *matrices;
    uint32_t n_matrices;
    void *storage; /* of the matrices, one mapping */
    size_t storage_bytes;
    uint64_t step_bytes;       /* of the matrices that every decode step reads */
    struct weir_arena floats;  /* norm weights, biases, rotation factors */
    const float *rope_factors; /* [n_rot / 2] or NULL */
    uint32_t widths[WEIR_CPU_ROWS__COUNT];
    uint32_t input_cols[WEIR_CPU_INPUT__COUNT];
    bool input_blocks[WEIR_CPU_INPUT__COUNT]; /* read by a matrix with quantised weights */
    bool input_floats[WEIR_CPU_INPUT__COUNT]; /* read by a matrix with float weights */
    uint32_t select; /* index of the SELECT stage: later stages see the wanted rows only */
};

/* progress may be NULL; a non-zero return from it ends the build with WEIR_E_CANCELLED. */
WEIR_NODISCARD int weir_cpu_plan_build(struct weir_cpu_plan *plan, const struct weir_model *model,
                                       const struct weir_cpu_isa *isa, struct weir_cpu_pool *pool,
                                       int (*progress)(void *arg, float fraction),
                                       void *progress_arg, struct weir_error *err);
void weir_cpu_plan_finish(struct weir_cpu_plan *plan); /* copes with a zeroed or half-built plan */
