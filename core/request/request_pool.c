/* SPDX-License-Identifier: Apache-2.0 */
#include "request_pool.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/request/request.h"

enum { MAX_SPARE = 512, MAX_SPARE_ARENA_BYTES = 32 * 1024, MAX_SPARE_OUT_BYTES = 4096 };

static void free_request(struct weir_request *r)
{
    weir_arena_finish(&r->arena);
    weir_buf_finish(&r->out);
    weir_buf_finish(&r->reply.spare);
    free(r);
}

void weir_request_pool_finish(struct weir_request_pool *pool)
{
    while (pool->spare) {
        struct weir_request *r = pool->spare;
        pool->spare = r->next;
        free_request(r);
    }
}

uint32_t weir_request_pool_n_live(const struct weir_request_pool *pool)
{
    return atomic_load_explicit(&pool->n_live, memory_order_relaxed);
}

/* Other threads only read it. */
static void count(struct weir_request_pool *pool, int change)
{
    uint32_t n = atomic_load_explicit(&pool->n_live, memory_order_relaxed);
    atomic_store_explicit(&pool->n_live, n + (uint32_t)change, memory_order_relaxed);
}

/* A request that serves again keeps its memory. The tails of its large members are written before
 * they are read: who uses one of them makes it ready. */
static void clear_request(struct weir_request *r)
{
    struct weir_arena arena = r->arena;
    struct weir_buf out = r->out, spare = r->reply.spare;
    memset(r, 0, offsetof(struct weir_request, run) + offsetof(struct weir_plugin_run, choices));
    memset(&r->first, 0, offsetof(struct weir_request_flow, flow.outcome));
    r->refusal.struct_size = r->refusal.status = 0;
    r->refusal.param[0] = r->refusal.code[0] = r->refusal.message[0] = '\0';
    r->arena = arena;
    r->out = out;
    r->reply.spare = spare;
}

struct weir_request *weir_request_pool_take(struct weir_request_pool *pool)
{
    struct weir_request *r = pool->spare;
    if (r) {
        pool->spare = r->next;
        pool->n_spare--;
        clear_request(r);
    } else {
        r = calloc(1, sizeof(*r));
        if (!r) {
            return NULL;
        }
        weir_heap_use_large_pages(&pool->heaps, r);
    }
    r->next = pool->live;
    if (r->next) {
        r->next->prev = r;
    }
    pool->live = r;
    count(pool, 1);
    return r;
}

void weir_request_pool_give_back(struct weir_request_pool *pool, struct weir_request *r)
{
    if (r->prev) {
        r->prev->next = r->next;
    } else {
        pool->live = r->next;
    }
    if (r->next) {
        r->next->prev = r->prev;
    }
    count(pool, -1);
    if (pool->n_spare < MAX_SPARE) {
        r->next = pool->spare;
        pool->spare = r;
        pool->n_spare++;
        weir_arena_recycle(&r->arena, MAX_SPARE_ARENA_BYTES);
        weir_buf_recycle(&r->out, MAX_SPARE_OUT_BYTES);
    } else {
        free_request(r);
    }
}
