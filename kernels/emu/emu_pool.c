/* SPDX-License-Identifier: Apache-2.0 */
/* The blocks of a launch over a few OS threads: each takes the next block until none is left. The
 * caller is one of them. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "kernels/emu/emu_internal.h"

enum { MAX_WORKERS = 8 };

struct weir_emu_pool {
    uint64_t seed;
    uint32_t n_workers; /* the caller included */
    struct weir_emu_block *blocks[MAX_WORKERS];
    pthread_t threads[MAX_WORKERS];
    uint32_t n_started;
    pthread_mutex_t lock; /* guards what follows up to `next` */
    pthread_cond_t work, idle;
    uint64_t n_launches; /* counts up when there is work */
    uint32_t n_busy;
    int stop;
    struct weir_error error; /* of the first block that failed */
    const struct weir_emu_kernel *kernel;
    const struct weir_gpu_launch *launch;
    atomic_uint_fast64_t next; /* block to take */
};

struct worker_start {
    struct weir_emu_pool *pool;
    uint32_t index;
};

static void record_failure(struct weir_emu_pool *pool, const char *sentence)
{
    pthread_mutex_lock(&pool->lock);
    if (pool->error.code == 0) {
        (void)weir_error_set(&pool->error, WEIR_E_DEVICE, "%s", sentence);
    }
    pthread_mutex_unlock(&pool->lock);
}

static void take_blocks(struct weir_emu_pool *pool, uint32_t worker)
{
    const uint32_t *grid = pool->launch->grid;
    uint64_t n = (uint64_t)grid[0] * grid[1] * grid[2];
    for (;;) {
        uint64_t i = atomic_fetch_add(&pool->next, 1);
        if (i >= n) {
            return;
        }
        uint32_t at[3] = {(uint32_t)(i % grid[0]), (uint32_t)(i / grid[0] % grid[1]),
                          (uint32_t)(i / grid[0] / grid[1])};
        const char *sentence = weir_emu_block_run(pool->blocks[worker], pool->kernel, pool->launch,
                                                  at, pool->seed ^ i * 0x9E3779B97F4A7C15u);
        if (sentence) {
            record_failure(pool, sentence);
            atomic_store(&pool->next, n);
        }
    }
}

static void *work(void *arg)
{
    struct worker_start start = *(struct worker_start *)arg;
    free(arg);
    struct weir_emu_pool *pool = start.pool;
    uint64_t seen = 0;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (!pool->stop && pool->n_launches == seen) {
            pthread_cond_wait(&pool->work, &pool->lock);
        }
        if (pool->stop) {
            break;
        }
        seen = pool->n_launches;
        pthread_mutex_unlock(&pool->lock);
        take_blocks(pool, start.index);
        pthread_mutex_lock(&pool->lock);
        if (--pool->n_busy == 0) {
            pthread_cond_signal(&pool->idle);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static int start_worker(struct weir_emu_pool *pool, uint32_t index)
{
    struct worker_start *start = malloc(sizeof(*start));
    if (!start) {
        return WEIR_E_NOMEM;
    }
    *start = (struct worker_start){.pool = pool, .index = index};
    if (pthread_create(&pool->threads[pool->n_started], NULL, work, start) != 0) {
        free(start);
        return WEIR_E_NOMEM;
    }
    pool->n_started++;
    return 0;
}

int weir_emu_pool_create(uint32_t n_threads, struct weir_emu_pool **ret_pool)
{
    if (n_threads == 0) {
        long n = sysconf(_SC_NPROCESSORS_ONLN);
        n_threads = n < 1 ? 1 : (uint32_t)n;
    }
    struct weir_emu_pool *pool = calloc(1, sizeof(*pool));
    if (!pool) {
        return WEIR_E_NOMEM;
    }
    pool->n_workers = n_threads < MAX_WORKERS ? n_threads : MAX_WORKERS;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->idle, NULL);
    int rc = 0;
    for (uint32_t i = 0; i < pool->n_workers && rc == 0; i++) {
        rc = weir_emu_block_create(&pool->blocks[i]);
    }
    for (uint32_t i = 1; i < pool->n_workers && rc == 0; i++) {
        rc = start_worker(pool, i);
    }
    if (rc < 0) {
        weir_emu_pool_destroy(pool);
        return rc;
    }
    *ret_pool = pool;
    return 0;
}

void weir_emu_pool_destroy(struct weir_emu_pool *pool)
{
    if (!pool) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->stop = 1;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < pool->n_started; i++) {
        pthread_join(pool->threads[i], NULL);
    }
    for (uint32_t i = 0; i < pool->n_workers; i++) {
        weir_emu_block_destroy(pool->blocks[i]);
    }
    pthread_cond_destroy(&pool->idle);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

void weir_emu_pool_seed(struct weir_emu_pool *pool, uint64_t seed)
{
    pool->seed = seed;
}

static int check_launch(const struct weir_emu_kernel *kernel, const struct weir_gpu_launch *launch,
                        struct weir_error *reterr)
{
    if (launch->block == 0 || launch->block > WEIR_EMU_MAX_THREADS ||
        launch->block % kernel->lanes != 0) {
        return weir_error_set(reterr, WEIR_E_ARG, "%s: a block of %u threads", kernel->name,
                              launch->block);
    }
    for (int i = 0; i < 3; i++) {
        if (launch->grid[i] == 0 || (i > 0 && launch->grid[i] > 65535)) {
            return weir_error_set(reterr, WEIR_E_ARG, "%s: a grid of %u in dimension %d",
                                  kernel->name, launch->grid[i], i);
        }
    }
    if (launch->args_bytes != kernel->args_bytes) {
        return weir_error_set(reterr, WEIR_E_ARG, "%s: %zu bytes of arguments instead of %zu",
                              kernel->name, launch->args_bytes, kernel->args_bytes);
    }
    return 0;
}

int weir_emu_pool_run(struct weir_emu_pool *pool, const struct weir_emu_kernel *kernel,
                      const struct weir_gpu_launch *launch, struct weir_error *reterr)
{
    int rc = check_launch(kernel, launch, reterr);
    if (rc < 0) {
        return rc;
    }
    pthread_mutex_lock(&pool->lock);
    pool->kernel = kernel;
    pool->launch = launch;
    pool->error.code = 0;
    atomic_store(&pool->next, 0);
    pool->n_launches++;
    pool->n_busy = pool->n_started;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    take_blocks(pool, 0);
    pthread_mutex_lock(&pool->lock);
    while (pool->n_busy > 0) {
        pthread_cond_wait(&pool->idle, &pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    if (pool->error.code != 0) {
        return weir_error_set(reterr, pool->error.code, "%s", pool->error.message);
    }
    return 0;
}
