/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The memory driver of the store: one process, lost at exit.
 *
 * A hash map in shards, each under its own mutex, so that workers seldom wait for each other.
 * Bounds: entries and bytes. When they are reached, plain values are evicted, least recently used
 * first; limits, budgets and counters are never evicted, since forgetting one would let more
 * through than allowed: without room for a new one the operation answers WEIR_E_NOMEM. Expired
 * entries go first.
 * Ownership, threads, errors: store.h; `done` is called before the operation returns. */
#include "core/store/store.h"

struct weir_store_memory_options {
    size_t max_entries;            /* 0: 1,000,000 */
    size_t max_bytes;              /* of keys, values and their records; 0: 256 MiB */
    uint64_t (*now_us)(void *arg); /* NULL: the system's monotonic clock */
    void *now_arg;
};

int weir_store_memory_create(const struct weir_store_memory_options *options,
                             struct weir_store **ret_store);

struct weir_store_memory_stats {
    size_t n_entries, n_bytes;
    uint64_t evicted, expired, refused;
};
void weir_store_memory_get_stats(struct weir_store *store,
                                 struct weir_store_memory_stats *ret_stats);
