/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/memory_handles.h"

#include <stdlib.h>

void weir_store_limit_forget(struct weir_store_entry *e)
{
    while (e->limit.handles) {
        struct weir_store_limit_state *h = e->limit.handles;
        e->limit.handles = h->next;
        h->entry = NULL;
    }
}

int weir_store_handle_open(struct weir_store_shard *s, weir_str tenant, const weir_store_limit *l,
                           struct weir_store_limit_state **ret_state)
{
    struct weir_store_limit_state *h = malloc(sizeof(*h) + tenant.n + l->key.n);
    if (!h) {
        return WEIR_E_NOMEM;
    }
    *h = (struct weir_store_limit_state){.shard = s, .limit = *l};
    if (tenant.n) {
        memcpy(h->text, tenant.p, tenant.n);
    }
    memcpy(h->text + tenant.n, l->key.p, l->key.n);
    weir_str own = {h->text, tenant.n}, key = {h->text + tenant.n, l->key.n};
    h->name = weir_store_name_of(WEIR_STORE_LIMIT, own, key, (weir_str){NULL, 0});
    h->limit.key = key;
    h->limit.units = 1;
    h->span = weir_store_limit_span(&h->limit);
    *ret_state = h;
    return 0;
}

void weir_store_handle_close(struct weir_store_limit_state *h)
{
    struct weir_store_shard *s = h->shard;
    pthread_mutex_lock(&s->lock);
    if (h->entry) {
        struct weir_store_limit_state **at = &h->entry->limit.handles;
        while (*at != h) {
            at = &(*at)->next;
        }
        *at = h->next;
    }
    pthread_mutex_unlock(&s->lock);
    free(h);
}

static void attach(struct weir_store_limit_state *h, struct weir_store_entry *e)
{
    if (e) {
        h->entry = e;
        h->next = e->limit.handles;
        e->limit.handles = h;
    }
}

static uint64_t span_of(const struct weir_store_limit_state *h, uint64_t units)
{
    if (units == 1) {
        return h->span.units_ns;
    }
    weir_store_limit l = h->limit;
    l.units = units;
    return weir_store_limit_units_ns(&l);
}

/* How far it is ahead of now. */
static uint64_t taken_of(struct weir_store_place *p, struct weir_store_limit_state *h)
{
    uint64_t now_ns = p->now_us * 1000;
    if (!h->entry) {
        attach(h, weir_store_find(p->shard, &h->name, p->now_us));
    }
    if (h->entry && h->entry->expires_us <= p->now_us) {
        h->entry->expires_us = p->now_us + 1; /* room for another one is not made of it now */
    }
    if (!h->entry || h->entry->limit.until_ns <= now_ns) {
        return 0;
    }
    uint64_t taken_ns = h->entry->limit.until_ns - now_ns;
    if (taken_ns > h->span.depth_ns) { /* a burst that became smaller is used up, not more */
        taken_ns = h->span.depth_ns;
        weir_store_limit_put(p, h->entry, taken_ns);
    }
    return taken_ns;
}

/* Entries first, so that without room nothing was taken. */
static bool make_entries(struct weir_store_place *p, struct weir_store_limit_state *const *h,
                         uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (!h[i]->entry) {
            attach(h[i], weir_store_insert(p->shard, &h[i]->name, p->now_us + 1, p->now_us));
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        if (!h[i]->entry) {
            return false;
        }
    }
    return true;
}

int weir_store_handles_take(struct weir_store_place *p, struct weir_store_limit_state *const *h,
                            const uint64_t *units, uint32_t n, int64_t *ret_left)
{
    uint64_t taken_ns[WEIR_STORE_MAX_LEVELS], more_ns[WEIR_STORE_MAX_LEVELS];
    int rc = 0;
    for (uint32_t i = 0; i < n; i++) {
        taken_ns[i] = taken_of(p, h[i]);
        more_ns[i] = span_of(h[i], units[i]);
        if (units[i] > h[i]->limit.burst) {
            rc = WEIR_E_TOOBIG;
        } else if (rc == 0 && units[i] && taken_ns[i] + more_ns[i] > h[i]->span.depth_ns) {
            rc = WEIR_E_BUSY;
        }
    }
    if (rc == 0 && !make_entries(p, h, n)) {
        return WEIR_E_NOMEM;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (rc == 0) {
            taken_ns[i] += more_ns[i];
            weir_store_limit_put(p, h[i]->entry, taken_ns[i]);
        }
        ret_left[i] = weir_store_limit_left(&h[i]->limit, taken_ns[i], h[i]->span.depth_ns).units;
    }
    return rc;
}

void weir_store_handles_give(struct weir_store_place *p, struct weir_store_limit_state *const *h,
                             const uint64_t *units, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint64_t taken_ns = taken_of(p, h[i]), back_ns = span_of(h[i], units[i]);
        if (h[i]->entry) {
            weir_store_limit_put(p, h[i]->entry, taken_ns > back_ns ? taken_ns - back_ns : 0);
        }
    }
}
