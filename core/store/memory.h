/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The memory driver of the store: one process, lost at exit.
 *
 * A hash map in shards by tenant, each under its own mutex, so that workers seldom wait for each
 * other and an operation on many keys of a tenant is atomic.
 * Bounds: entries and bytes. When they are reached, plain values are evicted, least recently used
 * first; nothing else is, since forgetting a limit or a record would be wrong: without room for a
 * new one the operation answers WEIR_E_NOMEM. What has expired goes first. Ids of settled
 * reservations, which exist only so that settling again counts once, take half of the bytes at most
 * (and a table for each shard); beyond that the oldest are forgotten early.
 * Ownership, errors: store.h. Threads: operations on any thread, no loop is needed; `done` is
 * called before the operation returns. */
#include "core/store/store.h"

struct weir_store_memory_options {
    size_t max_entries;            /* 0: one for each 256 bytes */
    size_t max_bytes;              /* of keys, values and their records; 0: 256 MiB */
    uint64_t (*now_us)(void *arg); /* NULL: the system's monotonic clock */
    void *now_arg;
};

int weir_store_memory_create(const struct weir_store_memory_options *options,
                             struct weir_store **ret_store);

struct weir_store_memory_stats {
    size_t n_entries, n_bytes;
    uint64_t evicted, forgotten, expired, refused; /* forgotten: settled ids */
};
void weir_store_memory_get_stats(struct weir_store *store,
                                 struct weir_store_memory_stats *ret_stats);
