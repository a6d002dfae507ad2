/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Fairness between tenants: who is served next, and how much of the device's time a tenant may
 * have.
 *
 * Why: first come, first served lets one busy tenant push everybody else back.
 * Weights: the virtual token counter of Sheng et al., "Fairness in Serving Large Language Models"
 * (OSDI 2024): each tenant's counter grows with the work done for it, the slower the greater its
 * weight; the waiting sequence of the smallest counter is next, and a tenant that comes, or comes
 * back from idling, is lifted to the smallest counter among the busy ones, or to that of the last
 * one that was: nobody saves up a burst, and who had the device alone owes nothing for that. Time:
 * a tenant with a bound gets credit as time passes, at the rate of its bound, and pays each step's
 * time by its part of the step's work. While it owes it sits out: always when it is capped, else
 * only while somebody else who does not owe can run. Crowding: a tenant crowds another when it has
 * more than CROWD times its slots, by weight. What is done for smooth streams then does not count
 * against the one who is crowded. Ownership: the table owns its entries; a job holds its tenant's
 * entry from join() to leave(). An entry's index names the tenant as owner of pages. Threads: the
 * engine's. No allocation after init. Errors: join() gives NULL only when more tenants are busy
 * than the table has entries; its bound is above the engine's bound of jobs, so that cannot happen
 * there. */
#include <stdbool.h>

#include "engine/scheduler/page_key.h"

enum { WEIR_SHARE_USUAL_WEIGHT = 100, WEIR_SHARE_MAX_WEIGHT = 10000 };

/* What the host says of a tenant; see weir_generation. */
struct weir_share_terms {
    uint32_t weight;   /* 0: WEIR_SHARE_USUAL_WEIGHT */
    uint32_t time_ppm; /* 0: no bound */
    bool is_capped;
};

struct weir_tenant_share {
    struct weir_page_key tenant; /* the root key stands for the name */
    struct weir_share_terms terms;
    uint64_t served;      /* work by weight */
    uint64_t last_active; /* value of n_joins */
    uint64_t left_us;     /* when its last job ended */
    uint64_t ran_us;      /* when it last had a part in a step */
    uint32_t n_jobs;
    uint32_t n_slots; /* of sequences that hold one */
    int64_t credit_us;
    uint64_t credited_at_us;
    bool sits_out;      /* in the step that is being built */
    bool is_blocked;    /* in this round: its own bound of pages is reached */
    uint32_t n_yielded; /* scratch: slots that it would give up */
};

struct weir_tenant_shares {
    struct weir_tenant_share *entries; /* [cap] */
    uint32_t cap;
    uint32_t n_used; /* entries from here on have never been anybody's */
    uint64_t n_joins;
    uint32_t n_busy;
    uint64_t last_served; /* the counter of the last one that left, when nobody is busy */
};

/* A completion's token costs a whole step of a row; prompt tokens are computed many at a time. */
enum { WEIR_SHARE_PROMPT_TOKEN = 1, WEIR_SHARE_COMPLETION_TOKEN = 2 };

int weir_tenant_shares_init(struct weir_tenant_shares *t, uint32_t cap);
void weir_tenant_shares_finish(struct weir_tenant_shares *t);

/* *ret_is_new: the entry was another tenant's, or nobody's. The newest terms hold. */
struct weir_tenant_share *weir_tenant_shares_join(struct weir_tenant_shares *t,
                                                  struct weir_page_key tenant,
                                                  const struct weir_share_terms *terms,
                                                  uint64_t now_us, bool *ret_is_new);
void weir_tenant_shares_leave(struct weir_tenant_shares *t, struct weir_tenant_share *share,
                              uint64_t now_us);
uint32_t weir_tenant_shares_index(const struct weir_tenant_shares *t,
                                  const struct weir_tenant_share *share);
/* Two or more have jobs, or had some in the last half minute. */
bool weir_tenant_shares_are_several(const struct weir_tenant_shares *t, uint64_t now_us);

/* Work that was done. */
void weir_tenant_share_charge(struct weir_tenant_share *share, uint64_t cost);
/* < 0: a goes before b. Equal counters: whoever ran longer ago. */
int weir_tenant_share_compare(const struct weir_tenant_share *a, const struct weir_tenant_share *b);

/* a, with n more slots than now, has more of them by weight than b. */
bool weir_tenant_share_exceeds(const struct weir_tenant_share *a, uint32_t n,
                               const struct weir_tenant_share *b);
bool weir_tenant_share_crowds(const struct weir_tenant_share *a, const struct weir_tenant_share *b);

/* Brings the credit up to now. True when a bound is used up. */
bool weir_tenant_share_owes(struct weir_tenant_share *share, uint64_t now_us);
/* A step's time, or the tenant's part of it. Time that nobody else wanted leaves a small debt. */
void weir_tenant_share_pay(struct weir_tenant_share *share, uint64_t us, bool others_want);
/* Until it owes no more. */
uint64_t weir_tenant_share_owes_for_us(const struct weir_tenant_share *share);
