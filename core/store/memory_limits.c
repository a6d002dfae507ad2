/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/memory_handles.h"

/* The levels of a call as they are: entries (NULL: untouched) and how far each is ahead of now. */
struct levels {
    struct weir_store_entry *entries[WEIR_STORE_MAX_LEVELS];
    uint64_t taken_ns[WEIR_STORE_MAX_LEVELS];
    struct weir_store_span spans[WEIR_STORE_MAX_LEVELS];
};

static struct weir_store_name name_of(const struct weir_store_call *c, uint32_t i)
{
    return weir_store_name_of(WEIR_STORE_LIMIT, c->tenant, c->levels[i].key, (weir_str){NULL, 0});
}

void weir_store_limit_put(const struct weir_store_place *p, struct weir_store_entry *e,
                          uint64_t taken_ns)
{
    /* A limit that is whole again need not be kept, but one of a high rate is so at once, and would
     * be made anew for every call. */
    enum { LINGER_US = 1000 * 1000 };
    e->limit.until_ns = p->now_us * 1000 + taken_ns;
    e->expires_us = p->now_us + taken_ns / 1000 + LINGER_US;
}

static void look(struct weir_store_place *p, const struct weir_store_call *c, struct levels *l)
{
    uint64_t now_ns = p->now_us * 1000;
    for (uint32_t i = 0; i < c->n; i++) {
        l->spans[i] = weir_store_limit_span(&c->levels[i]);
        struct weir_store_name name = name_of(c, i);
        struct weir_store_entry *e = l->entries[i] = weir_store_find(p->shard, &name, p->now_us);
        uint64_t taken_ns = e && e->limit.until_ns > now_ns ? e->limit.until_ns - now_ns : 0;
        if (taken_ns >
            l->spans[i].depth_ns) { /* a burst that became smaller is used up, not more */
            taken_ns = l->spans[i].depth_ns;
            weir_store_limit_put(p, e, taken_ns);
        }
        l->taken_ns[i] = taken_ns;
    }
}

static bool passes(const struct weir_store_call *c, const struct levels *l)
{
    for (uint32_t i = 0; i < c->n; i++) {
        if (c->levels[i].units > c->levels[i].burst ||
            (c->levels[i].units && l->taken_ns[i] + l->spans[i].units_ns > l->spans[i].depth_ns)) {
            return false;
        }
    }
    return true;
}

/* Entries first, so that without room nothing was taken. Empty ones are harmless and expire. */
static bool make_entries(struct weir_store_place *p, const struct weir_store_call *c,
                         struct levels *l)
{
    for (uint32_t i = 0; i < c->n; i++) {
        if (c->levels[i].units && !l->entries[i]) {
            struct weir_store_name name = name_of(c, i);
            l->entries[i] = weir_store_insert(p->shard, &name, p->now_us + 1, p->now_us);
            if (!l->entries[i]) {
                return false;
            }
        }
    }
    return true;
}

void weir_store_memory_take(struct weir_store_place *p, const struct weir_store_call *c,
                            struct weir_store_answer *a)
{
    struct levels l;
    look(p, c, &l);
    bool passed = passes(c, &l);
    if (passed && !make_entries(p, c, &l)) {
        a->result.rc = WEIR_E_NOMEM;
        return;
    }
    for (uint32_t i = 0; passed && i < c->n; i++) {
        if (c->levels[i].units) {
            l.taken_ns[i] += l.spans[i].units_ns;
            weir_store_limit_put(p, l.entries[i], l.taken_ns[i]);
        }
    }
    weir_store_limit_result(c->levels, c->n, l.taken_ns, passed, a->left, &a->result);
}

void weir_store_memory_give(struct weir_store_place *p, const struct weir_store_call *c,
                            struct weir_store_answer *a)
{
    struct levels l;
    look(p, c, &l);
    for (uint32_t i = 0; i < c->n; i++) {
        uint64_t back_ns = l.spans[i].units_ns;
        l.taken_ns[i] = l.taken_ns[i] > back_ns ? l.taken_ns[i] - back_ns : 0;
        if (l.entries[i]) {
            weir_store_limit_put(p, l.entries[i], l.taken_ns[i]);
        }
    }
    weir_store_limit_result(c->levels, c->n, l.taken_ns, true, a->left, &a->result);
}
