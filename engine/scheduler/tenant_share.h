/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Fairness between tenants: the one that was served least goes first.
 *
 * Why: first come, first served lets one busy tenant push everybody else back.
 * How: the virtual token counter of Sheng et al., "Fairness in Serving Large Language Models"
 * (OSDI 2024): each tenant's counter grows with the work done for it, the waiting sequence of the
 * smallest counter is next, and a tenant that comes back from idling is lifted to the smallest
 * counter among the busy ones, so that nobody saves up a burst.
 * Ownership: the table owns its entries; a job holds its tenant's entry from join() to leave().
 * Threads: the engine's. No allocation after init.
 * Errors: join() gives NULL only when more tenants are busy than the table has entries; its bound
 * is the engine's bound of jobs, so that cannot happen there. */
#include "engine/scheduler/page_key.h"

struct weir_tenant_share {
    struct weir_page_key tenant; /* the root key stands for the name */
    uint64_t served;             /* weighted tokens */
    uint64_t last_active;        /* value of n_joins */
    uint32_t n_jobs;
};

struct weir_tenant_shares {
    struct weir_tenant_share *entries; /* [cap] */
    uint32_t cap;
    uint64_t n_joins;
};

/* A completion's token costs a whole step of a row; prompt tokens are computed many at a time. */
enum { WEIR_SHARE_PROMPT_TOKEN = 1, WEIR_SHARE_COMPLETION_TOKEN = 2 };

int weir_tenant_shares_init(struct weir_tenant_shares *t, uint32_t cap);
void weir_tenant_shares_finish(struct weir_tenant_shares *t);

struct weir_tenant_share *weir_tenant_shares_join(struct weir_tenant_shares *t,
                                                  struct weir_page_key tenant);
void weir_tenant_share_leave(struct weir_tenant_share *share);

static inline void weir_tenant_share_charge(struct weir_tenant_share *share, uint64_t cost)
{
    share->served += cost;
}
