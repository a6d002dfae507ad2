/* SPDX-License-Identifier: Apache-2.0 */
/* GET /admin/v1/plugins/ratelimit/tenants/{tenant}. */
#include <stdlib.h>

#include "ratelimit.h"

enum { PAGE_BYTES = 256 * 1024, ENTRY_BYTES = 2048 };

static void add_member(struct text *t, const char *name, uint64_t number)
{
    text_add_char(t, ',');
    text_add_json(t, weir_str_from(name));
    text_add_char(t, ':');
    text_add_u64(t, number);
}

static void add_bucket(struct text *t, const struct subject *s, const struct rate *rate,
                       const struct bucket *b, uint64_t now_us)
{
    TEXT_ADD(t, "{\"level\":");
    text_add_json(t, weir_str_from(level_name((enum level)s->e.level)));
    TEXT_ADD(t, ",\"name\":");
    text_add_json(t, level_entry_name(&s->e));
    TEXT_ADD(t, ",\"unit\":");
    text_add_json(t, weir_str_from(limit_words(rate)));
    add_member(t, "limit", limit_shown(rate));
    add_member(t, "burst", rate->burst);
    add_member(t, "remaining", bucket_remaining(b, now_us));
    add_member(t, "reset_ms", bucket_reset_us(b, now_us) / 1000);
    add_member(t, "leased_here", b->balance > 0 ? (uint64_t)b->balance : 0);
    add_member(t, "units_per_second_here", b->per_s);
    text_add_char(t, '}');
}

static void add_slots(struct text *t, const struct subject *s)
{
    TEXT_ADD(t, "{\"level\":");
    text_add_json(t, weir_str_from(level_name((enum level)s->e.level)));
    TEXT_ADD(t, ",\"name\":");
    text_add_json(t, level_entry_name(&s->e));
    TEXT_ADD(t, ",\"unit\":\"concurrent requests\"");
    add_member(t, "limit", s->slots.limit);
    add_member(t, "running_here", s->slots.running);
    add_member(t, "reserved_here", s->slots.reserved);
    text_add_char(t, '}');
}

static void add_subject(struct text *t, const struct subject *s, uint64_t now_us)
{
    for (unsigned bits = s->active; bits; bits &= bits - 1) {
        unsigned item = (unsigned)__builtin_ctz(bits);
        if (t->p[t->n - 1] != '[') {
            text_add_char(t, ',');
        }
        if (item == SUBJECT_SLOT) {
            add_slots(t, s);
        } else {
            add_bucket(t, s, &s->buckets[item]->rate, s->buckets[item], now_us);
        }
    }
}

/* True: not all had room. */
static bool add_subjects(struct limiter *l, weir_str tenant, struct text *t)
{
    struct level_shard *sh = level_table_shard(&l->table, tenant);
    uint64_t now_us = limiter_now(l);
    bool cut = false;
    pthread_mutex_lock(&sh->lock);
    for (unsigned i = 0; i < LEVEL_CHAINS; i++) {
        for (const struct level_entry *e = sh->chains[i]; e; e = e->next) {
            const struct subject *s = (const struct subject *)e;
            if (level_group((enum level)s->e.level) != LEVEL_GROUP_TENANT ||
                !weir_str_eq(level_entry_tenant(&s->e), tenant)) {
                continue;
            }
            if (t->cap - t->n < ENTRY_BYTES * SUBJECT_ITEMS) {
                cut = true;
            } else {
                add_subject(t, s, now_us);
            }
        }
    }
    pthread_mutex_unlock(&sh->lock);
    return cut;
}

int admin_show(void *ratelimit, weir_req *r)
{
    struct limiter *l = &((struct ratelimit *)ratelimit)->limiter;
    const weir_host *h = l->host;
    const weir_ext_admin *admin = h->get_ext(h, WEIR_EXT_ADMIN);
    weir_str tenant = {NULL, 0};
    int found = admin->param(h, r, "tenant", &tenant);
    if (found < 0) {
        return found;
    }
    char *page = malloc(PAGE_BYTES);
    if (!page) {
        return WEIR_E_NOMEM;
    }
    struct text t = text_on(page, PAGE_BYTES);
    TEXT_ADD(&t, "{\"tenant\":");
    text_add_json(&t, tenant);
    TEXT_ADD(&t, ",\"store\":");
    bool lost = atomic_load_explicit(&l->lost_until_us, memory_order_relaxed) != 0;
    text_add_json(&t, weir_str_from(lost ? "lost" : "ok"));
    TEXT_ADD(&t, ",\"limits\":[");
    bool cut = add_subjects(l, tenant, &t);
    TEXT_ADD(&t, "],\"complete\":");
    text_add(&t, weir_str_from(cut ? "false}" : "true}"));
    int rc = h->respond(h, r, 200, weir_str_from("application/json"), text_view(&t));
    free(page);
    return rc;
}
