/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Compute threads that run one function together, with cheap barriers inside it.
 *
 * Why: a decode step of a small model takes 2 ms and needs about 150 points of synchronisation.
 * Waiters spin and then sleep on a futex, so that a descheduled thread or a container with fewer
 * CPUs than threads costs little. Where there are as many threads as CPUs each has one of its own,
 * is pinned to it and spins longer; else threads keep off each other's CPU.
 * Work is cut into items. Every thread starts with its own run of neighbouring items (the same run
 * in every step, so that caches and prefetchers help) and then takes from the ends of others.
 * Ownership: the pool owns its threads; destroy() joins them. The caller of run() is thread 0, and
 * stays pinned until destroy().
 * Threads: create, run and destroy by one thread; barrier and the range functions inside run().
 * Errors: create reports; the rest can not fail. */
#include <stdint.h>

#include "base/error.h"

struct weir_cpu_pool;

WEIR_NODISCARD int weir_cpu_pool_create(uint32_t n_threads, struct weir_cpu_pool **ret_pool);
void weir_cpu_pool_destroy(struct weir_cpu_pool *pool); /* NULL ok */
uint32_t weir_cpu_pool_size(const struct weir_cpu_pool *pool);

/* Calls fn(arg, i) on thread i for every i in 0..size-1; returns when all have returned. */
void weir_cpu_pool_run(struct weir_cpu_pool *pool, void (*fn)(void *arg, uint32_t thread),
                       void *arg);

/* Waits until all threads of the running fn are here; called by each as `thread`. What they wrote
 * before is visible after. */
void weir_cpu_pool_barrier(struct weir_cpu_pool *pool, uint32_t thread);

/* Items begin..end-1 that a thread has not begun; begin in the low half. One per thread and stage.
 * A cache line of its own: thieves touch it rarely, the owner often. */
struct weir_cpu_range {
    _Alignas(64) _Atomic uint64_t span;
};

/* Gives thread `thread` its share of n_items. */
void weir_cpu_range_init(struct weir_cpu_range *range, uint32_t n_items, uint32_t thread,
                         uint32_t n_threads);
/* Takes the next run of up to `grain` items for `thread` out of ranges[n_threads], its own first.
 * Returns how many, beginning at *ret_begin; 0 when nothing is left. */
uint32_t weir_cpu_range_take(struct weir_cpu_range *ranges, uint32_t thread, uint32_t n_threads,
                             uint32_t grain, uint32_t *ret_begin);

/* How many threads are worth starting: CPUs that this process may run on, bounded by the CPU
 * quota of its cgroup (v2 cpu.max, v1 cfs_quota). At least 1. */
uint32_t weir_cpu_count(void);
