/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Limits of the memory driver that somebody keeps at hand: the entry is found once, not by its name
 * for every request.
 *
 * A handle acts on the same entry as take() and give() with its tenant and key. The entry expires
 * and is erased as ever; the handle finds or makes it anew at its next use.
 * Ownership: who opened it closes it, before the store ends. Threads: any, the shard's lock. */
#include "core/store/limit.h"
#include "core/store/memory_ops.h"

struct weir_store_limit_state {
    struct weir_store_limit_state *next; /* of the same entry */
    struct weir_store_shard *shard;
    struct weir_store_entry *entry; /* NULL: to be found */
    weir_store_limit limit;         /* without key; units: 1 */
    struct weir_store_span span;
    struct weir_store_name name; /* points into text */
    char text[];                 /* tenant, key */
};

/* How far a limit is ahead of now. */
void weir_store_limit_put(const struct weir_store_place *p, struct weir_store_entry *e,
                          uint64_t taken_ns);
/* The entry goes: those who keep it at hand must find it anew. [locked] */
void weir_store_limit_forget(struct weir_store_entry *e);

int weir_store_handle_open(struct weir_store_shard *s, weir_str tenant, const weir_store_limit *l,
                           struct weir_store_limit_state **ret_state);
void weir_store_handle_close(struct weir_store_limit_state *h);
/* What weir_store_memory_take() and _give() do. Of one shard. [locked] */
int weir_store_handles_take(struct weir_store_place *p, struct weir_store_limit_state *const *h,
                            const uint64_t *units, uint32_t n, int64_t *ret_left);
void weir_store_handles_give(struct weir_store_place *p, struct weir_store_limit_state *const *h,
                             const uint64_t *units, uint32_t n);
