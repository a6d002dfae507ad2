/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/limit.h"
#include "core/store/memory_ops.h"

static struct weir_store_entry *find(struct weir_store_place *p, enum weir_store_kind kind,
                                     const struct weir_store_call *c, uint32_t i)
{
    struct weir_store_name name = {kind, c->tenant, c->holds[i].key,
                                   kind == WEIR_STORE_BUDGET ? (weir_str){NULL, 0} : c->id};
    return weir_store_find(p->shard, &name, p->now_us);
}

static struct weir_store_entry *insert(struct weir_store_place *p, enum weir_store_kind kind,
                                       weir_str tenant, weir_str key, weir_str id)
{
    struct weir_store_name name = {kind, tenant, key, id};
    return weir_store_insert(p->shard, &name, p->now_us);
}

/* A reservation's time is over: its units are free, or count as used and may be settled late. */
static void end_hold(struct weir_store_place *p, struct weir_store_entry *budget,
                     struct weir_store_entry *hold)
{
    uint64_t units = hold->hold.units;
    budget->budget.held -= units;
    if (hold->hold.keep) {
        budget->budget.used = weir_store_sum(budget->budget.used, units);
        const char *at = hold->name;
        weir_str tenant = {at, hold->tenant_len}, key = {at + tenant.n, hold->key_len},
                 id = {at + tenant.n + key.n, hold->id_len};
        struct weir_store_entry *kept = insert(p, WEIR_STORE_SETTLED, tenant, key, id);
        if (kept) {
            kept->settled.is_kept = true;
            kept->settled.units = units;
            kept->expires_us = weir_store_in_ms(p, WEIR_STORE_BUDGET_IDLE_MS);
        }
    }
    weir_store_remove(p->shard, hold);
}

/* The budget, aged and touched; made when new. NULL: no room. */
static struct weir_store_entry *open_budget(struct weir_store_place *p,
                                            const struct weir_store_call *c, uint32_t i)
{
    struct weir_store_entry *e = find(p, WEIR_STORE_BUDGET, c, i);
    if (!e) {
        e = insert(p, WEIR_STORE_BUDGET, c->tenant, c->holds[i].key, (weir_str){NULL, 0});
    }
    if (e) {
        e->expires_us = weir_store_in_ms(p, WEIR_STORE_BUDGET_IDLE_MS);
        for (struct weir_store_entry *h; (h = weir_store_first_due(e, p->now_us));) {
            end_hold(p, e, h);
        }
    }
    return e;
}

static uint64_t taken(const struct weir_store_entry *budget)
{
    return weir_store_sum(budget->budget.used, budget->budget.held);
}

static void show_left(const struct weir_store_call *c, struct weir_store_entry *const *budgets,
                      struct weir_store_answer *a)
{
    for (uint32_t i = 0; i < c->n; i++) {
        a->left[i] = weir_store_budget_left(c->holds[i].limit, taken(budgets[i]));
    }
    a->result.left = a->left;
    a->result.n_left = c->n;
}

/* 0, GONE or BUSY; what the id has already does not count against it. */
static int judge(struct weir_store_place *p, const struct weir_store_call *c,
                 struct weir_store_entry *const *budgets, uint32_t *ret_by)
{
    int rc = 0;
    for (uint32_t i = 0; i < c->n && rc != WEIR_E_GONE; i++) {
        const struct weir_store_entry *hold = find(p, WEIR_STORE_HOLD, c, i);
        const struct weir_store_entry *settled = find(p, WEIR_STORE_SETTLED, c, i);
        uint64_t own = (hold ? hold->hold.units : 0) + (settled ? settled->settled.units : 0);
        uint64_t others = taken(budgets[i]) - own;
        bool fits = others <= c->holds[i].limit && c->holds[i].units <= c->holds[i].limit - others;
        if (settled && !settled->settled.is_kept) {
            rc = WEIR_E_GONE;
        } else if (!fits && rc == 0) {
            rc = WEIR_E_BUSY;
            *ret_by = i;
        }
    }
    return rc;
}

/* Takes back what was counted when the id's time was over. */
static void unkeep(struct weir_store_place *p, struct weir_store_entry *budget,
                   struct weir_store_entry *kept)
{
    budget->budget.used -= kept->settled.units;
    weir_store_remove(p->shard, kept);
}

/* All holds of the call exist afterwards, new ones with no units; false: no room, none was made. */
static bool make_holds(struct weir_store_place *p, const struct weir_store_call *c,
                       struct weir_store_entry *const *budgets)
{
    uint32_t made = 0;
    bool ok = true;
    for (uint32_t i = 0; i < c->n && ok; i++) {
        struct weir_store_entry *hold = find(p, WEIR_STORE_HOLD, c, i);
        if (hold) {
            continue;
        }
        hold = insert(p, WEIR_STORE_HOLD, c->tenant, c->holds[i].key, c->id);
        if (hold) {
            hold->wait.due_us = weir_store_in_ms(p, c->number);
            made |= 1u << i;
        }
        ok = hold && weir_store_wait(p->shard, budgets[i], hold);
    }
    for (uint32_t i = 0; i < c->n && !ok; i++) {
        if (made & 1u << i) {
            weir_store_remove(p->shard, find(p, WEIR_STORE_HOLD, c, i));
        }
    }
    return ok;
}

void weir_store_memory_reserve(struct weir_store_place *p, const struct weir_store_call *c,
                               struct weir_store_answer *a)
{
    struct weir_store_entry *budgets[WEIR_STORE_MAX_LEVELS];
    for (uint32_t i = 0; i < c->n; i++) {
        budgets[i] = open_budget(p, c, i);
        if (!budgets[i]) {
            a->result.rc = WEIR_E_NOMEM;
            return;
        }
    }
    a->result.rc = judge(p, c, budgets, &a->result.refused_by);
    if (a->result.rc == 0 && !make_holds(p, c, budgets)) {
        a->result.rc = WEIR_E_NOMEM;
        return;
    }
    for (uint32_t i = 0; i < c->n && a->result.rc == 0; i++) {
        struct weir_store_entry *kept = find(p, WEIR_STORE_SETTLED, c, i);
        if (kept) {
            unkeep(p, budgets[i], kept);
        }
        struct weir_store_entry *hold = find(p, WEIR_STORE_HOLD, c, i);
        budgets[i]->budget.held += c->holds[i].units - hold->hold.units;
        hold->hold.units = c->holds[i].units;
        hold->hold.keep = c->flags & WEIR_STORE_KEEP;
        hold->wait.due_us = weir_store_in_ms(p, c->number);
        (void)weir_store_wait(p->shard, budgets[i], hold); /* moves it: needs no memory */
    }
    show_left(c, budgets, a);
}

static void settle_one(struct weir_store_place *p, const struct weir_store_call *c, uint32_t i,
                       struct weir_store_entry *budget)
{
    struct weir_store_entry *settled = find(p, WEIR_STORE_SETTLED, c, i);
    if (settled && !settled->settled.is_kept) {
        return;
    }
    if (settled) {
        unkeep(p, budget, settled);
    }
    struct weir_store_entry *hold = find(p, WEIR_STORE_HOLD, c, i);
    if (hold) {
        budget->budget.held -= hold->hold.units;
        weir_store_remove(p->shard, hold);
    }
    budget->budget.used = weir_store_sum(budget->budget.used, c->holds[i].units);
    /* Without room the id is not remembered; what was used counts all the same. */
    settled = insert(p, WEIR_STORE_SETTLED, c->tenant, c->holds[i].key, c->id);
    if (settled) {
        settled->expires_us = weir_store_in_ms(p, WEIR_STORE_SETTLED_MS);
    }
}

void weir_store_memory_settle(struct weir_store_place *p, const struct weir_store_call *c,
                              struct weir_store_answer *a)
{
    struct weir_store_entry *budgets[WEIR_STORE_MAX_LEVELS];
    for (uint32_t i = 0; i < c->n; i++) {
        budgets[i] = open_budget(p, c, i);
        if (!budgets[i]) {
            a->result.rc = WEIR_E_NOMEM;
            return;
        }
    }
    for (uint32_t i = 0; i < c->n; i++) {
        settle_one(p, c, i, budgets[i]);
    }
    show_left(c, budgets, a);
}
