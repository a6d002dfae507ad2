/* SPDX-License-Identifier: Apache-2.0 */
/* Sums over emulated devices. Their streams do everything at once, so a rank's thread waits in the
 * sum itself; who comes last adds up, in the order of the ranks. One that is given up ends without
 * a result, as a library's kernel does. */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/emu/emu_internal.h"

struct group {
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t done;
    uint32_t n_ranks, n_arrived;
    uint64_t round;
    float *data[WEIR_GPU_RANKS_MAX];
    size_t n;
    bool is_aborted;
};

/* What a stream does: kept by a graph. */
struct sum {
    struct group *group;
    uint32_t rank;
    float *data;
    size_t n;
};

static _Thread_local char last_error[96];

static int create(const uint32_t *devices, uint32_t n, void **ret_group)
{
    (void)devices;
    struct group *g = n <= WEIR_GPU_RANKS_MAX ? calloc(1, sizeof(*g)) : NULL;
    if (!g) {
        (void)snprintf(last_error, sizeof(last_error), "no group of %u devices", n);
        return WEIR_E_NOMEM;
    }
    g->n_ranks = n;
    (void)pthread_mutex_init(&g->lock, NULL);
    (void)pthread_cond_init(&g->done, NULL);
    *ret_group = g;
    return 0;
}

static void destroy(void *group)
{
    struct group *g = group;
    if (g) {
        (void)pthread_mutex_destroy(&g->lock);
        (void)pthread_cond_destroy(&g->done);
        free(g);
    }
}

static void add_up(const struct group *g)
{
    for (size_t i = 0; i < g->n; i++) {
        float sum = g->data[0][i];
        for (uint32_t r = 1; r < g->n_ranks; r++) {
            sum += g->data[r][i];
        }
        for (uint32_t r = 0; r < g->n_ranks; r++) {
            g->data[r][i] = sum;
        }
    }
}

/* The lock is held. */
static void end_round(struct group *g)
{
    g->n_arrived = 0;
    g->round++;
    (void)pthread_cond_broadcast(&g->done);
}

static int meet(const void *args, struct weir_error *err)
{
    const struct sum *s = args;
    struct group *g = s->group;
    (void)pthread_mutex_lock(&g->lock);
    /* A library would hang. */
    bool differs = !g->is_aborted && g->n_arrived > 0 && g->n != s->n;
    if (differs) {
        g->is_aborted = true;
        (void)pthread_cond_broadcast(&g->done);
    }
    g->data[s->rank] = s->data;
    g->n = s->n;
    const uint64_t round = g->round;
    g->n_arrived++;
    if (!g->is_aborted && g->n_arrived == g->n_ranks) {
        add_up(g);
        end_round(g);
    }
    while (!g->is_aborted && g->round == round) {
        (void)pthread_cond_wait(&g->done, &g->lock);
    }
    (void)pthread_mutex_unlock(&g->lock);
    return differs ? weir_error_set(err, WEIR_E_DEVICE,
                                    "devices sum rows of different lengths: rank %u has %zu",
                                    s->rank, s->n)
                   : 0;
}

static int all_reduce(void *group, uint32_t rank, void *stream, float *data, size_t n)
{
    const struct sum sum = {.group = group, .rank = rank, .data = data, .n = n};
    int rc = weir_emu_stream_call(stream, meet, &sum, sizeof(sum));
    if (rc < 0) {
        (void)snprintf(last_error, sizeof(last_error), "%s", weir_emu_api()->error_text());
    }
    return rc;
}

static void give_up(void *group, uint32_t rank)
{
    struct group *g = group;
    (void)rank;
    (void)pthread_mutex_lock(&g->lock);
    g->is_aborted = true;
    (void)pthread_cond_broadcast(&g->done);
    (void)pthread_mutex_unlock(&g->lock);
}

static const char *error_text(void)
{
    return last_error;
}

const struct weir_gpu_collective *weir_emu_collective(void)
{
    static const struct weir_gpu_collective collective = {
        .name = "emu",
        .create = create,
        .destroy = destroy,
        .all_reduce = all_reduce,
        .abort = give_up,
        .error_text = error_text,
    };
    return &collective;
}
