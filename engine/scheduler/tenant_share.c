/* SPDX-License-Identifier: Apache-2.0 */
#include "tenant_share.h"

#include <assert.h>
#include <stdlib.h>

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

/* The tenant's entry, else the idle one that was active longest ago, else NULL. */
static struct weir_tenant_share *find_or_evict(struct weir_tenant_shares *t,
                                               struct weir_page_key tenant)
{
    struct weir_tenant_share *idle = NULL;
    for (uint32_t i = 0; i < t->cap; i++) {
        struct weir_tenant_share *e = &t->entries[i];
        if (e->last_active > 0 && weir_page_key_eq(e->tenant, tenant)) {
            return e;
        }
        if (e->n_jobs == 0 && (!idle || e->last_active < idle->last_active)) {
            idle = e;
        }
    }
    if (idle) {
        *idle = (struct weir_tenant_share){.tenant = tenant};
    }
    return idle;
}

static uint64_t least_served(const struct weir_tenant_shares *t)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < t->cap; i++) {
        if (t->entries[i].n_jobs > 0 && t->entries[i].served < least) {
            least = t->entries[i].served;
        }
    }
    return least == UINT64_MAX ? 0 : least;
}

struct weir_tenant_share *weir_tenant_shares_join(struct weir_tenant_shares *t,
                                                  struct weir_page_key tenant)
{
    uint64_t least = least_served(t);
    struct weir_tenant_share *e = find_or_evict(t, tenant);
    if (!e) {
        return NULL;
    }
    if (e->n_jobs == 0 && e->served < least) {
        e->served = least;
    }
    e->n_jobs++;
    e->last_active = ++t->n_joins;
    return e;
}

void weir_tenant_share_leave(struct weir_tenant_share *share)
{
    assert(share->n_jobs > 0);
    share->n_jobs--;
}
