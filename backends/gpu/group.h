/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The devices that share a model: a thread for each, sums over them, and the end of all when one
 * fails.
 *
 * Why threads: each device then runs the same code as a device alone, its graphs included, and no
 * device waits until another one's kernels have been launched.
 * Ownership: open() to close(). Threads: run() from the model's; rank 0 works on that, the others
 * on threads of the group. sum(), fail() and has_failed() from within run().
 * Errors: run() gives the result of the rank that failed first, as the others fail because of it;
 * after that the group can only be closed. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "backends/gpu/backend.h"

struct weir_gpu_group;

struct weir_gpu_member {
    struct weir_gpu_group *group;
    uint32_t rank;
    pthread_t thread; /* not of rank 0 */
    int rc;
};

struct weir_gpu_group {
    const struct weir_gpu_collective *api;
    void *sums;
    struct weir_gpu_member members[WEIR_GPU_RANKS_MAX];
    uint32_t n_ranks, n_threads;
    _Atomic int failed_rank; /* the first one; -1: none */

    pthread_mutex_t lock; /* guards what is below */
    pthread_cond_t begins, ended;
    uint64_t round;
    uint32_t n_running;
    bool ends;
    int (*fn)(void *arg, uint32_t rank);
    void *arg;
};

/* The devices' contexts are open. */
WEIR_NODISCARD int weir_gpu_group_open(struct weir_gpu_group *g,
                                       const struct weir_gpu_backend *backend,
                                       const uint32_t *devices, uint32_t n, struct weir_error *err);
void weir_gpu_group_close(struct weir_gpu_group *g); /* copes with a zeroed group */

/* fn(arg, rank) for all ranks beside each other; returns when all have returned. */
WEIR_NODISCARD int weir_gpu_group_run(struct weir_gpu_group *g, int (*fn)(void *arg, uint32_t rank),
                                      void *arg);
/* The same in two halves: in between the caller does rank 0's work, of which rc is the result. A
 * rank 0 that fails says so at once: weir_gpu_group_fail(). */
void weir_gpu_group_begin(struct weir_gpu_group *g, int (*fn)(void *arg, uint32_t rank), void *arg);
WEIR_NODISCARD int weir_gpu_group_end(struct weir_gpu_group *g, int rc);

/* data[n] becomes the sum over all ranks, in the order of this rank's stream. */
WEIR_NODISCARD int weir_gpu_group_sum(struct weir_gpu_group *g, uint32_t rank, void *stream,
                                      float *data, size_t n);
const char *weir_gpu_group_error_text(const struct weir_gpu_group *g); /* of the last sum() */

/* Lets go of the sums that this rank waits for. run() does it for a rank whose fn fails; one that
 * waits for others does it when has_failed() says so. */
void weir_gpu_group_fail(struct weir_gpu_group *g, uint32_t rank);
bool weir_gpu_group_has_failed(const struct weir_gpu_group *g);
