/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Budgets of the memory driver that somebody keeps at hand: the entry is found once, not by its
 * name for every request, and what is held of it needs no reservation.
 *
 * It acts on the same entry as reserve() and settle() with its tenant and key. Whoever holds
 * something is in this process and settles it once, so no id is remembered for it; its mark says
 * whether the entry is still the one that it is held of: an erased one begins anew, and what was
 * held of it is gone.
 * Ownership: who opened one closes it, before the store ends; closed while something is held of it,
 * it goes with the last settlement, or with the store. Threads: any, the shard's lock. Errors:
 * WEIR_E_NOMEM, WEIR_E_BUSY, WEIR_E_ARG for the same budget twice. */
#include "core/store/memory_ops.h"

struct weir_store_budget_state {
    /* In a list: of its entry, or of those of the shard that have none. */
    struct weir_store_budget_state *next, **at;
    struct weir_store_shard *shard;
    struct weir_store_entry *entry; /* NULL: to be found */
    uint32_t n_held;
    bool is_closed;
    struct weir_store_name name; /* points into text */
    char text[];                 /* tenant, key */
};

/* The entry goes: it is to be found anew. [locked] */
void weir_store_budget_forget(struct weir_store_entry *e);
void weir_store_budgets_finish(struct weir_store_shard *s); /* of no entry any more */

int weir_store_budget_state_open(struct weir_store_shard *s, weir_str tenant, weir_str key,
                                 struct weir_store_budget_state **ret_state);
void weir_store_budget_state_close(struct weir_store_budget_state *b);

/* weir/store.h, budget_hold() and budget_settle(). Of one shard. [locked] */
int weir_store_holdings_take(struct weir_store_place *p, weir_store_holding *h, uint32_t n,
                             uint32_t *ret_refused_by);
int weir_store_holdings_settle(struct weir_store_place *p, weir_store_holding *h, uint32_t n);
