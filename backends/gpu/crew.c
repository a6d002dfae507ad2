/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/gpu/crew.h"

#include <pthread.h>
#include <stdbool.h>

struct share {
    void (*fn)(void *arg, uint32_t begin, uint32_t end);
    void *arg;
    uint32_t begin, end;
    pthread_t thread;
    bool started;
};

static void *run_share(void *arg)
{
    const struct share *s = arg;
    s->fn(s->arg, s->begin, s->end);
    return NULL;
}

void weir_gpu_crew_run(uint32_t n_threads, uint32_t n,
                       void (*fn)(void *arg, uint32_t begin, uint32_t end), void *arg)
{
    struct share shares[WEIR_GPU_CREW_MAX];
    uint32_t n_shares = n_threads < WEIR_GPU_CREW_MAX ? n_threads : WEIR_GPU_CREW_MAX;
    n_shares = n_shares < n ? n_shares : n;
    for (uint32_t i = 0; i < n_shares; i++) {
        shares[i] = (struct share){
            .fn = fn,
            .arg = arg,
            .begin = (uint32_t)((uint64_t)n * i / n_shares),
            .end = (uint32_t)((uint64_t)n * (i + 1) / n_shares),
        };
        /* The last share is the caller's own. */
        shares[i].started =
            i + 1 < n_shares && pthread_create(&shares[i].thread, NULL, run_share, &shares[i]) == 0;
    }
    for (uint32_t i = 0; i < n_shares; i++) {
        if (!shares[i].started) {
            (void)run_share(&shares[i]);
        }
    }
    for (uint32_t i = 0; i < n_shares; i++) {
        if (shares[i].started) {
            (void)pthread_join(shares[i].thread, NULL);
        }
    }
}
