/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The state of a model on a GPU, shared by model.c (load, info), weights.c, scratch.c, forward.c
 * (kernels of a pass), step.c (batch, graphs, waiting). Nobody else includes this. */
#include <pthread.h>
#include <stdatomic.h>

#include "backends/gpu/linear.h"
#include "backends/gpu/model.h"
#include "backends/gpu/sampling.h"
#include "backends/gpu/upload.h"

enum { WEIR_GPU_BUCKETS = 35 }; /* 1, 2, 4, 8, 16, 24 .. 256 */

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

struct weir_gpu_model {
    const struct weir_gpu_backend *backend;
    struct weir_gpu_options options;
    struct weir_gpu_device device;
    struct weir_hparams hparams;
    struct weir_graph graph; /* a copy whose tensor pointers dangle after load */
    struct weir_gpu_limits limits;
    struct weir_gpu_weights weights;
    struct weir_gpu_scratch scratch;
    struct weir_gpu_batch batch;
    struct weir_gpu_sampling sampling;
    uint8_t *kv;
    uint64_t kv_bytes;
    uint32_t n_threads; /* for packing */

    void *graphs[WEIR_GPU_BUCKETS]; /* NULL: not captured yet */
    bool has_run_bucket[WEIR_GPU_BUCKETS];
    void *begin_event, *end_event, *spare_event; /* of this step, of this or the last one */
    bool has_run;                                /* end_event holds a step's end */
    uint64_t last_end_us;                        /* when the last step returned */
    bool is_hung; /* a step did not end: the context cannot be destroyed */

    void *monitor;
    pthread_mutex_t monitor_lock;
    atomic_bool interrupted;
    struct weir_gpu_counters counters;
    weir_model_info info;
};

/* weights.c. Sizes first (device memory untouched), then the memory and its filling. */
WEIR_NODISCARD int weir__gpu_weights_plan(struct weir_gpu_model *m, const struct weir_model *source,
                                          struct weir_error *err);
WEIR_NODISCARD int weir__gpu_weights_load(struct weir_gpu_model *m, const struct weir_model *source,
                                          const weir_load_params *params, struct weir_error *err);
void weir__gpu_weights_finish(struct weir_gpu_model *m);

/* scratch.c */
void weir__gpu_scratch_sizes(struct weir_gpu_model *m, uint64_t *ret_device, uint64_t *ret_pinned);
WEIR_NODISCARD int weir__gpu_scratch_init(struct weir_gpu_model *m, struct weir_error *err);
void weir__gpu_scratch_finish(struct weir_gpu_model *m);

/* forward.c: puts the kernels of a pass over n_rows tokens behind the stream. n_out rows of logits.
 * `decode`: all rows are single tokens and wanted, so that the launch depends on n_rows alone. */
WEIR_NODISCARD int weir__gpu_forward(struct weir_gpu_model *m, uint32_t n_rows, uint32_t n_out,
                                     bool decode);

/* step.c */
uint32_t weir__gpu_bucket_rows(uint32_t bucket);
