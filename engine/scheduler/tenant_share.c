/* SPDX-License-Identifier: Apache-2.0 */
#include "tenant_share.h"

#include <assert.h>
#include <stdlib.h>

enum {
    CROWD = 3,                    /* times the slots of another, by weight */
    RECENT_US = 30 * 1000 * 1000, /* a tenant that left so lately may be back any moment */
    MOST_CREDIT_US = 50 * 1000,   /* saved up while idle */
    MOST_DEBT_US = 20 * 1000,     /* run up while nobody else wanted the device */
};

int weir_tenant_shares_init(struct weir_tenant_shares *t, uint32_t cap)
{
    *t = (struct weir_tenant_shares){.cap = cap};
    t->entries = calloc(cap, sizeof(*t->entries));
    return t->entries ? 0 : WEIR_E_NOMEM;
}

void weir_tenant_shares_finish(struct weir_tenant_shares *t)
{
    free(t->entries);
    t->entries = NULL;
    t->cap = 0;
}

/* The tenant's entry, else one that was nobody's, else the idle one that was active longest ago,
 * else NULL. */
static struct weir_tenant_share *find_or_evict(struct weir_tenant_shares *t,
                                               struct weir_page_key tenant, bool *ret_is_new)
{
    struct weir_tenant_share *idle = NULL;
    *ret_is_new = false;
    for (uint32_t i = 0; i < t->n_used; i++) {
        struct weir_tenant_share *e = &t->entries[i];
        if (weir_page_key_eq(e->tenant, tenant)) {
            return e;
        }
        if (e->n_jobs == 0 && (!idle || e->last_active < idle->last_active)) {
            idle = e;
        }
    }
    if (t->n_used < t->cap) {
        idle = &t->entries[t->n_used++];
    }
    if (idle) {
        *ret_is_new = true;
        *idle = (struct weir_tenant_share){.tenant = tenant};
    }
    return idle;
}

static uint64_t least_served(const struct weir_tenant_shares *t)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < t->n_used; i++) {
        if (t->entries[i].n_jobs > 0 && t->entries[i].served < least) {
            least = t->entries[i].served;
        }
    }
    return least == UINT64_MAX ? t->last_served : least;
}

struct weir_tenant_share *weir_tenant_shares_join(struct weir_tenant_shares *t,
                                                  struct weir_page_key tenant,
                                                  const struct weir_share_terms *terms,
                                                  uint64_t now_us, bool *ret_is_new)
{
    uint64_t least = least_served(t);
    struct weir_tenant_share *e = find_or_evict(t, tenant, ret_is_new);
    if (!e) {
        return NULL;
    }
    if (e->n_jobs == 0 && e->served < least) {
        e->served = least;
    }
    e->terms = *terms;
    if (e->terms.weight == 0) {
        e->terms.weight = WEIR_SHARE_USUAL_WEIGHT;
    } else if (e->terms.weight > WEIR_SHARE_MAX_WEIGHT) {
        e->terms.weight = WEIR_SHARE_MAX_WEIGHT;
    }
    if (e->credited_at_us == 0) {
        e->credited_at_us = now_us;
        e->credit_us = 1;
    }
    t->n_busy += e->n_jobs == 0;
    e->n_jobs++;
    e->last_active = ++t->n_joins;
    return e;
}

void weir_tenant_shares_leave(struct weir_tenant_shares *t, struct weir_tenant_share *share,
                              uint64_t now_us)
{
    assert(share->n_jobs > 0);
    share->n_jobs--;
    share->left_us = now_us;
    if (share->n_jobs > 0) {
        return;
    }
    t->n_busy--;
    if (t->n_busy == 0 && share->served > t->last_served) {
        t->last_served = share->served;
    }
}

uint32_t weir_tenant_shares_index(const struct weir_tenant_shares *t,
                                  const struct weir_tenant_share *share)
{
    return (uint32_t)(share - t->entries);
}

bool weir_tenant_shares_are_several(const struct weir_tenant_shares *t, uint64_t now_us)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->n_used && n < 2; i++) {
        const struct weir_tenant_share *e = &t->entries[i];
        n += e->n_jobs > 0 || now_us < e->left_us + RECENT_US;
    }
    return n == 2;
}

void weir_tenant_share_charge(struct weir_tenant_share *share, uint64_t cost)
{
    share->served += cost * WEIR_SHARE_MAX_WEIGHT / share->terms.weight;
}

int weir_tenant_share_compare(const struct weir_tenant_share *a, const struct weir_tenant_share *b)
{
    int c = (a->served > b->served) - (a->served < b->served);
    return c ? c : (a->ran_us > b->ran_us) - (a->ran_us < b->ran_us);
}

bool weir_tenant_share_exceeds(const struct weir_tenant_share *a, uint32_t n,
                               const struct weir_tenant_share *b)
{
    return ((uint64_t)a->n_slots + n) * b->terms.weight > (uint64_t)b->n_slots * a->terms.weight;
}

bool weir_tenant_share_crowds(const struct weir_tenant_share *a, const struct weir_tenant_share *b)
{
    uint32_t slots = b->n_slots > 0 ? b->n_slots : 1;
    return (uint64_t)a->n_slots * b->terms.weight > (uint64_t)CROWD * slots * a->terms.weight;
}

bool weir_tenant_share_owes(struct weir_tenant_share *share, uint64_t now_us)
{
    if (share->terms.time_ppm == 0) {
        return false;
    }
    uint64_t passed_us = now_us > share->credited_at_us ? now_us - share->credited_at_us : 0;
    uint64_t earned_us = passed_us * share->terms.time_ppm / 1000000u;
    if (earned_us > 0) { /* a fraction is earned later, as the time stands still for it */
        share->credited_at_us = now_us;
        share->credit_us += (int64_t)earned_us;
    }
    if (share->credit_us > MOST_CREDIT_US) {
        share->credit_us = MOST_CREDIT_US;
    }
    return share->credit_us <= 0;
}

void weir_tenant_share_pay(struct weir_tenant_share *share, uint64_t us, bool others_want)
{
    if (share->terms.time_ppm == 0) {
        return;
    }
    share->credit_us -= (int64_t)us;
    if (!others_want && !share->terms.is_capped && share->credit_us < -MOST_DEBT_US) {
        share->credit_us = -MOST_DEBT_US;
    }
}

uint64_t weir_tenant_share_owes_for_us(const struct weir_tenant_share *share)
{
    if (share->terms.time_ppm == 0 || share->credit_us > 0) {
        return 0;
    }
    return ((uint64_t)-share->credit_us + 1) * 1000000u / share->terms.time_ppm + 1;
}
