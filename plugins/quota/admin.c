/* SPDX-License-Identifier: Apache-2.0 */
/* GET /admin/v1/plugins/quota/tenants/{tenant}: the tenant's budgets as this replica knows them. */
#include <stdlib.h>

#include "price_book.h"
#include "quota.h"

enum { PAGE_BYTES = 256 * 1024, ENTRY_BYTES = 1024 };

static void add_budget(const struct ledger *l, struct text *t, const struct owner *o, uint32_t i)
{
    const struct budget *b = &o->set.list[i];
    const struct budget_state *s = &o->states[i];
    TEXT_ADD(t, "{\"level\":");
    text_add_json(t, weir_str_from(level_name((enum level)o->e.level)));
    TEXT_ADD(t, ",\"name\":");
    text_add_json(t, level_entry_name(&o->e));
    TEXT_ADD(t, ",\"unit\":\"");
    budget_words_add(t, b);
    TEXT_ADD(t, "\",\"rolling\":");
    text_add(t, weir_str_from(b->rolling ? "true" : "false"));
    TEXT_ADD(t, ",\"limit\":\"");
    const char *currency = l->prices ? price_book_currency(l->prices) : "";
    budget_amount_add(t, b, b->limit, currency);
    text_add_char(t, '"');
    if (s->known) {
        TEXT_ADD(t, ",\"left\":\"");
        budget_amount_add(t, b, s->left > 0 ? (uint64_t)s->left : 0, currency);
        TEXT_ADD(t, "\",\"since\":\"");
        window_time_add(t, s->window_s);
        text_add_char(t, '"');
    }
    text_add_char(t, '}');
}

/* True: not all had room. */
static bool add_owners(struct ledger *l, weir_str tenant, struct text *t)
{
    struct level_shard *sh = level_table_shard(&l->table, tenant);
    bool cut = false;
    pthread_mutex_lock(&sh->lock);
    for (unsigned i = 0; i < LEVEL_CHAINS; i++) {
        for (const struct level_entry *e = sh->chains[i]; e; e = e->next) {
            const struct owner *o = (const struct owner *)e;
            if (level_group((enum level)e->level) != LEVEL_GROUP_TENANT ||
                !weir_str_eq(level_entry_tenant(e), tenant)) {
                continue;
            }
            for (uint32_t k = 0; k < o->set.n; k++) {
                if (t->cap - t->n < ENTRY_BYTES) {
                    cut = true;
                    break;
                }
                if (t->p[t->n - 1] != '[') {
                    text_add_char(t, ',');
                }
                add_budget(l, t, o, k);
            }
        }
    }
    pthread_mutex_unlock(&sh->lock);
    return cut;
}

int quota_show(void *quota, weir_req *r)
{
    struct ledger *l = &((struct quota *)quota)->ledger;
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
    TEXT_ADD(&t, ",\"budgets\":[");
    bool cut = add_owners(l, tenant, &t);
    TEXT_ADD(&t, "],\"complete\":");
    text_add(&t, weir_str_from(cut ? "false}" : "true}"));
    int rc = h->respond(h, r, 200, weir_str_from("application/json"), text_view(&t));
    free(page);
    return rc;
}
