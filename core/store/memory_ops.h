/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The memory driver's operations: each runs under its shard's lock and fills an answer.
 *
 * `done` is called after the lock is released, since it may call the store again; so what an answer
 * gives to the caller is copied into its block. Errors go to result.rc. */
#include "core/store/memory_map.h"

struct weir_store_place {
    struct weir_store_shard *shard;
    uint64_t tenant_hash;
    uint64_t now_us;
    _Atomic uint64_t *versions; /* the last one given */
};

struct weir_store_answer {
    weir_store_result result;
    weir_store_left left[WEIR_STORE_MAX_LEVELS];
    void *block; /* freed when `done` has returned */
};

typedef void weir_store_memory_op(struct weir_store_place *p, const struct weir_store_call *c,
                                  struct weir_store_answer *a);

weir_store_memory_op weir_store_memory_take, weir_store_memory_give;      /* memory_limits.c */
weir_store_memory_op weir_store_memory_reserve, weir_store_memory_settle; /* memory_budgets.c */
weir_store_memory_op weir_store_memory_get, weir_store_memory_set, weir_store_memory_invalidate,
    weir_store_memory_erase, weir_store_memory_remove, weir_store_memory_add; /* memory_values.c */
weir_store_memory_op weir_store_memory_put, weir_store_memory_find, weir_store_memory_list,
    weir_store_memory_append, weir_store_memory_read; /* memory_records.c */
weir_store_memory_op weir_store_memory_job_put, weir_store_memory_job_claim,
    weir_store_memory_job_ack; /* memory_jobs.c */

static inline uint64_t weir_store_sum(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* ms from now, in microseconds; saturated. */
static inline uint64_t weir_store_in_ms(const struct weir_store_place *p, uint64_t ms)
{
    return ms > UINT64_MAX / 1000 ? UINT64_MAX : weir_store_sum(p->now_us, ms * 1000);
}

/* Copies of blocks as the answer's items: [n], at most MAX_REPLY_BYTES but at least one. */
void weir_store_answer_items(struct weir_store_answer *a, struct weir_store_bytes *const *blocks,
                             size_t n); /* memory_records.c */
