/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A model's part on one device, which is all of it where it has one device: memory, kernels, steps.
 *
 * Shared by model.c (the devices of a model), rank.c (load), weights.c, scratch.c, forward.c
 * (kernels of a pass), step.c (batch, graphs, waiting). Nobody else includes this.
 * Ownership: open() to close(). Threads: one at a time, which has called weir_gpu_device_use();
 * interrupt and counters from any.
 * Errors: a sentence at load; after a step that failed only close() makes sense, and `failure` says
 * why. */
#include <pthread.h>
#include <stdatomic.h>

#include "backends/gpu/group.h"
#include "backends/gpu/linear.h"
#include "backends/gpu/model.h"
#include "backends/gpu/sampling.h"
#include "backends/gpu/upload.h"

enum {
    WEIR_GPU_BUCKETS = 35, /* 1, 2, 4, 8, 16, 24 .. 256 */
    WEIR_GPU_FAILURE_BYTES = 256
};

/* A graph op with its weights on the device. */
struct weir_gpu_stage {
    const struct weir_op *op;                   /* of `graph`; its tensors are gone after load */
    struct weir_gpu_linear linear;              /* LINEAR */
    const float *norm, *post, *q_norm, *k_norm; /* NULL where there is none */
};

struct weir_gpu_weights {
    uint8_t *memory; /* one allocation for everything below */
    uint64_t memory_bytes;
    uint64_t step_bytes; /* that every decode step reads */
    struct weir_gpu_stage *stages;
    uint32_t n_stages, select; /* index of the SELECT stage */
    bool has_separate_glu;     /* some layer's gate and up differ in type */
    const uint8_t *embed;      /* rows as in the file */
    uint64_t embed_row_bytes;
    uint32_t embed_type;
    const double *turns[WEIR_MODEL_ROPES_MAX]; /* [n_rot / 2] of a turn per position */
};

struct weir_gpu_scratch {
    uint8_t *memory, *pinned;
    uint64_t memory_bytes, pinned_bytes;
    float *rows[WEIR_BUFFER__COUNT];   /* [max_rows][width] */
    float *chosen[WEIR_BUFFER__COUNT]; /* [max_parts][width]: behind SELECT */
    uint16_t *halves;                  /* [max_rows][N or ATT] binary16 input of a LINEAR */
    uint16_t *halves_h;                /* [max_rows][n_ff] the same, of the last one of a layer */
    void *linear;                      /* what LINEAR kernels need besides */
    uint64_t linear_bytes;
    float *partials; /* of attention */
    uint32_t *arrivals;
    void *batch_host, *batch_device;
};

struct weir_gpu_counters { /* [any] reads them */
    _Atomic uint64_t n_steps, n_tokens, step_us;
    _Atomic uint64_t busy_us, gap_us; /* by the device's clock */
    _Atomic uint64_t decode_rows, decode_places, graph_steps, eager_steps;
};

struct weir_gpu_rank {
    const struct weir_gpu_backend *backend;
    struct weir_gpu_options options;
    struct weir_gpu_device device;
    struct weir_gpu_share share;
    struct weir_gpu_group *group; /* with the other ranks; NULL: there are none */
    struct weir_hparams hparams;  /* of the share; the vocabulary is whole */
    struct weir_graph graph;      /* a copy whose tensor pointers dangle after load */
    struct weir_gpu_limits limits;
    struct weir_gpu_weights weights;
    struct weir_gpu_scratch scratch;
    struct weir_gpu_batch batch;
    struct weir_gpu_sampling sampling;
    uint8_t *kv;
    uint64_t kv_bytes, page_bytes;
    uint32_t n_threads; /* for packing */

    void *graphs[WEIR_GPU_BUCKETS]; /* NULL: not captured yet */
    bool has_run_bucket[WEIR_GPU_BUCKETS];
    void *begin_event, *end_event, *spare_event; /* of this step, of this or the last one */
    bool has_run;                                /* end_event holds a step's end */
    uint64_t begin_us, last_end_us; /* when this step was sent, when the last one returned */
    bool is_cut_short;              /* this step was interrupted while it was sent */
    bool is_hung;                   /* a step did not end: the context cannot be destroyed */

    void *monitor;
    pthread_mutex_t monitor_lock;
    atomic_bool interrupted;
    struct weir_gpu_counters counters;
    char failure[WEIR_GPU_FAILURE_BYTES]; /* why a step failed */
};

/* rank.c. The device's context first, then what the load will need, then the load; `limits.n_pages`
 * may be lowered before it. */
WEIR_NODISCARD int weir__gpu_rank_open(const struct weir_gpu_backend *backend, uint32_t device,
                                       const struct weir_gpu_share *share,
                                       const struct weir_gpu_options *options,
                                       struct weir_gpu_rank **ret_rank, struct weir_error *err);
WEIR_NODISCARD int weir__gpu_rank_plan(struct weir_gpu_rank *m, const struct weir_model *source,
                                       const weir_load_params *params, struct weir_error *err);
WEIR_NODISCARD int weir__gpu_rank_load(struct weir_gpu_rank *m, const struct weir_model *source,
                                       const weir_load_params *params, struct weir_error *err);
void weir__gpu_rank_close(struct weir_gpu_rank *m); /* NULL ok */
/* Adds what the device's monitor knows. */
void weir__gpu_rank_health(struct weir_gpu_rank *m, struct weir_gpu_health *ret_health);

/* weights.c. Sizes first (device memory untouched), then the memory and its filling. */
WEIR_NODISCARD int weir__gpu_weights_plan(struct weir_gpu_rank *m, const struct weir_model *source,
                                          struct weir_error *err);
WEIR_NODISCARD int weir__gpu_weights_load(struct weir_gpu_rank *m, const struct weir_model *source,
                                          const weir_load_params *params, struct weir_error *err);
void weir__gpu_weights_finish(struct weir_gpu_rank *m);

/* scratch.c */
void weir__gpu_scratch_sizes(struct weir_gpu_rank *m, uint64_t *ret_device, uint64_t *ret_pinned);
WEIR_NODISCARD int weir__gpu_scratch_init(struct weir_gpu_rank *m, struct weir_error *err);
void weir__gpu_scratch_finish(struct weir_gpu_rank *m);

/* forward.c: puts the kernels of a pass over n_rows tokens behind the stream. n_out rows of logits.
 * `decode`: all rows are single tokens and wanted, so that the launch depends on n_rows alone. */
WEIR_NODISCARD int weir__gpu_forward(struct weir_gpu_rank *m, uint32_t n_rows, uint32_t n_out,
                                     bool decode);

/* Sums over the group, behind the stream. */
WEIR_NODISCARD int weir__gpu_rank_sum(struct weir_gpu_rank *m, float *data, size_t n);

/* step.c */
/* The two halves of a step, as weir/backend_step.h says. */
WEIR_NODISCARD int weir__gpu_rank_begin(struct weir_gpu_rank *m, const weir_step_batch *batch,
                                        weir_step_result *results);
WEIR_NODISCARD int weir__gpu_rank_end(struct weir_gpu_rank *m);
/* A sum over the group that checks it, and makes it connect. */
WEIR_NODISCARD int weir__gpu_rank_try_sum(struct weir_gpu_rank *m);
WEIR_NODISCARD int weir__gpu_rank_logits(struct weir_gpu_rank *m, uint32_t i, float *out);
uint32_t weir__gpu_bucket_rows(uint32_t bucket);
