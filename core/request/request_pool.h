/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The requests of one loop: those that live, and spare ones whose memory serves again.
 *
 * Why: a request is large, and a loop makes tens of thousands a second; a spare one's memory is in
 * the processor's cache and needs no malloc.
 * Ownership: the pool owns every request; taken ones are given back before finish().
 * Threads: [loop-thread], but for n_live().
 * Bounds: 512 spare ones, each with 32 KiB of arena and 4 KiB of output at most; more are freed.
 * How many live is bounded by the server's connections and streams. */
#include <stdatomic.h>
#include <stdint.h>

#include "base/heap.h"

struct weir_request;

/* All zero: empty. */
struct weir_request_pool {
    struct weir_request *live;  /* newest first, linked by `next` and `prev`; to read */
    struct weir_request *spare; /* linked by `next` */
    uint32_t n_spare;
    _Atomic uint32_t n_live;
    struct weir_heaps heaps; /* that requests lie in */
};

/* Frees the spare ones. */
void weir_request_pool_finish(struct weir_request_pool *pool);
/* A cleared request among the live ones, but for the memory of its arena and buffers; NULL without
 * memory. */
struct weir_request *weir_request_pool_take(struct weir_request_pool *pool);
void weir_request_pool_give_back(struct weir_request_pool *pool, struct weir_request *r);
uint32_t weir_request_pool_n_live(const struct weir_request_pool *pool); /* [any-thread] */
