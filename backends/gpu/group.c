/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/gpu/group.h"

#include <string.h>

static void take_rc(struct weir_gpu_member *m, int rc)
{
    m->rc = rc;
    if (rc < 0 && rc != WEIR_E_CANCELLED) {
        weir_gpu_group_fail(m->group, m->rank);
    }
}

static void *work(void *arg)
{
    struct weir_gpu_member *m = arg;
    struct weir_gpu_group *g = m->group;
    uint64_t round = 0;
    (void)pthread_mutex_lock(&g->lock);
    for (;;) {
        while (!g->ends && g->round == round) {
            (void)pthread_cond_wait(&g->begins, &g->lock);
        }
        if (g->ends) {
            break;
        }
        round = g->round;
        (void)pthread_mutex_unlock(&g->lock);
        take_rc(m, g->fn(g->arg, m->rank));
        (void)pthread_mutex_lock(&g->lock);
        if (--g->n_running == 0) {
            (void)pthread_cond_signal(&g->ended);
        }
    }
    (void)pthread_mutex_unlock(&g->lock);
    return NULL;
}

static int start_threads(struct weir_gpu_group *g, uint32_t n, struct weir_error *err)
{
    for (uint32_t rank = 1; rank < n; rank++) {
        int error = pthread_create(&g->members[rank].thread, NULL, work, &g->members[rank]);
        if (error != 0) {
            return weir_error_set(err, WEIR_E_NOMEM, "no thread for device %u of the model: %s",
                                  rank, strerror(error));
        }
        g->n_threads++;
    }
    return 0;
}

int weir_gpu_group_open(struct weir_gpu_group *g, const struct weir_gpu_backend *backend,
                        const uint32_t *devices, uint32_t n, struct weir_error *err)
{
    const struct weir_gpu_collective *api = backend->collective(err);
    if (!api) {
        return err && err->code < 0 ? err->code : WEIR_E_UNSUPPORTED;
    }
    *g = (struct weir_gpu_group){.api = api, .n_ranks = n, .failed_rank = -1};
    (void)pthread_mutex_init(&g->lock, NULL);
    (void)pthread_cond_init(&g->begins, NULL);
    (void)pthread_cond_init(&g->ended, NULL);
    for (uint32_t rank = 0; rank < n; rank++) {
        g->members[rank] = (struct weir_gpu_member){.group = g, .rank = rank};
    }
    int rc = api->create(devices, n, &g->sums);
    if (rc < 0) {
        rc = weir_error_set(err, rc, "joining %u devices: %s", n, api->error_text());
    } else {
        rc = start_threads(g, n, err);
    }
    if (rc < 0) {
        weir_gpu_group_close(g);
    }
    return rc;
}

void weir_gpu_group_close(struct weir_gpu_group *g)
{
    if (!g->api) {
        return;
    }
    (void)pthread_mutex_lock(&g->lock);
    g->ends = true;
    (void)pthread_cond_broadcast(&g->begins);
    (void)pthread_mutex_unlock(&g->lock);
    for (uint32_t i = 1; i <= g->n_threads; i++) {
        (void)pthread_join(g->members[i].thread, NULL);
    }
    g->api->destroy(g->sums);
    (void)pthread_mutex_destroy(&g->lock);
    (void)pthread_cond_destroy(&g->begins);
    (void)pthread_cond_destroy(&g->ended);
    *g = (struct weir_gpu_group){0};
}

void weir_gpu_group_begin(struct weir_gpu_group *g, int (*fn)(void *arg, uint32_t rank), void *arg)
{
    (void)pthread_mutex_lock(&g->lock);
    g->fn = fn;
    g->arg = arg;
    g->n_running = g->n_threads;
    g->round++;
    (void)pthread_cond_broadcast(&g->begins);
    (void)pthread_mutex_unlock(&g->lock);
}

int weir_gpu_group_end(struct weir_gpu_group *g, int rc)
{
    take_rc(&g->members[0], rc);
    (void)pthread_mutex_lock(&g->lock);
    while (g->n_running > 0) {
        (void)pthread_cond_wait(&g->ended, &g->lock);
    }
    (void)pthread_mutex_unlock(&g->lock);
    int failed = atomic_load(&g->failed_rank);
    return g->members[failed < 0 ? 0 : failed].rc;
}

int weir_gpu_group_run(struct weir_gpu_group *g, int (*fn)(void *arg, uint32_t rank), void *arg)
{
    weir_gpu_group_begin(g, fn, arg);
    return weir_gpu_group_end(g, fn(arg, 0));
}

int weir_gpu_group_sum(struct weir_gpu_group *g, uint32_t rank, void *stream, float *data, size_t n)
{
    return g->api->all_reduce(g->sums, rank, stream, data, n);
}

const char *weir_gpu_group_error_text(const struct weir_gpu_group *g)
{
    return g->api->error_text();
}

void weir_gpu_group_fail(struct weir_gpu_group *g, uint32_t rank)
{
    int none = -1;
    (void)atomic_compare_exchange_strong(&g->failed_rank, &none, (int)rank);
    g->api->abort(g->sums, rank);
}

bool weir_gpu_group_has_failed(const struct weir_gpu_group *g)
{
    return atomic_load(&g->failed_rank) >= 0;
}
