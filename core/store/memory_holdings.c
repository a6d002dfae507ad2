/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/memory_holdings.h"

#include <stdlib.h>

#include "core/store/limit.h"

/* ---- lists ---- */

static void unlink_state(struct weir_store_budget_state *b)
{
    *b->at = b->next;
    if (b->next) {
        b->next->at = b->at;
    }
}

static void link_state(struct weir_store_budget_state *b, struct weir_store_budget_state **list)
{
    b->next = *list;
    b->at = list;
    if (b->next) {
        b->next->at = &b->next;
    }
    *list = b;
}

static void attach(struct weir_store_budget_state *b, struct weir_store_entry *e)
{
    unlink_state(b);
    link_state(b, e ? &e->budget.states : &b->shard->loose);
    b->entry = e;
}

void weir_store_budget_forget(struct weir_store_entry *e)
{
    while (e->budget.states) {
        attach(e->budget.states, NULL);
    }
}

void weir_store_budgets_finish(struct weir_store_shard *s)
{
    while (s->loose) {
        struct weir_store_budget_state *b = s->loose;
        s->loose = b->next;
        free(b);
    }
}

int weir_store_budget_state_open(struct weir_store_shard *s, weir_str tenant, weir_str key,
                                 struct weir_store_budget_state **ret_state)
{
    struct weir_store_budget_state *b = malloc(sizeof(*b) + tenant.n + key.n);
    if (!b) {
        return WEIR_E_NOMEM;
    }
    *b = (struct weir_store_budget_state){.shard = s};
    if (tenant.n) {
        memcpy(b->text, tenant.p, tenant.n);
    }
    memcpy(b->text + tenant.n, key.p, key.n);
    b->name = weir_store_name_of(WEIR_STORE_BUDGET, (weir_str){b->text, tenant.n},
                                 (weir_str){b->text + tenant.n, key.n}, (weir_str){NULL, 0});
    pthread_mutex_lock(&s->lock);
    link_state(b, &s->loose);
    pthread_mutex_unlock(&s->lock);
    *ret_state = b;
    return 0;
}

static void end_state(struct weir_store_budget_state *b)
{
    unlink_state(b);
    free(b);
}

void weir_store_budget_state_close(struct weir_store_budget_state *b)
{
    pthread_mutex_t *lock = &b->shard->lock;
    pthread_mutex_lock(lock);
    b->is_closed = true;
    if (b->n_held == 0) {
        end_state(b);
    }
    pthread_mutex_unlock(lock);
}

/* ---- holding ---- */

/* Finds or makes the entry; false: no room. */
static bool open_entry(struct weir_store_place *p, struct weir_store_budget_state *b)
{
    if (b->entry && b->entry->expires_us <= p->now_us) {
        weir_store_remove(p->shard, b->entry);
    }
    if (!b->entry) {
        struct weir_store_entry *e = weir_store_find(p->shard, &b->name, p->now_us);
        e = e ? e : weir_store_insert(p->shard, &b->name, UINT64_MAX, p->now_us);
        if (!e) {
            return false;
        }
        attach(b, e);
    }
    b->entry->expires_us = weir_store_in_ms(p, WEIR_STORE_BUDGET_IDLE_MS);
    return true;
}

static int open_entries(struct weir_store_place *p, const weir_store_holding *h, uint32_t n)
{
    weir_store_reservations_age(p->shard, p->now_us);
    for (uint32_t i = 0; i < n; i++) {
        if (!open_entry(p, h[i].budget)) {
            return WEIR_E_NOMEM;
        }
        for (uint32_t k = 0; k < i; k++) {
            if (h[k].budget->entry == h[i].budget->entry) {
                return WEIR_E_ARG;
            }
        }
    }
    return 0;
}

static uint64_t taken(const struct weir_store_entry *e)
{
    return weir_store_sum(e->budget.used, e->budget.held);
}

static void show_left(weir_store_holding *h)
{
    h->left = weir_store_budget_left(h->limit, taken(h->budget->entry)).units;
}

/* Never 0. */
static uint64_t mark_of(const struct weir_store_entry *e)
{
    return UINT64_C(1) << 32 | e->budget.serial;
}

static bool all_fit(const weir_store_holding *h, uint32_t n, uint32_t *ret_refused_by)
{
    for (uint32_t i = 0; i < n; i++) {
        uint64_t others = taken(h[i].budget->entry);
        if (others > h[i].limit || h[i].units > h[i].limit - others) {
            *ret_refused_by = i;
            return false;
        }
    }
    return true;
}

int weir_store_holdings_take(struct weir_store_place *p, weir_store_holding *h, uint32_t n,
                             uint32_t *ret_refused_by)
{
    int rc = open_entries(p, h, n);
    if (rc < 0) {
        return rc;
    }
    bool fits = all_fit(h, n, ret_refused_by);
    for (uint32_t i = 0; i < n; i++) {
        struct weir_store_budget_state *b = h[i].budget;
        if (fits) {
            b->entry->budget.held += h[i].units;
            b->n_held++;
            h[i].held = h[i].units;
            h[i].mark = mark_of(b->entry);
        }
        show_left(&h[i]);
    }
    return fits ? 0 : WEIR_E_BUSY;
}

int weir_store_holdings_settle(struct weir_store_place *p, weir_store_holding *h, uint32_t n)
{
    int rc = open_entries(p, h, n);
    if (rc < 0) {
        return rc;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct weir_store_budget_state *b = h[i].budget;
        struct weir_store_entry *e = b->entry;
        e->budget.held -= h[i].mark == mark_of(e) ? h[i].held : 0;
        e->budget.used = weir_store_sum(e->budget.used, h[i].units);
        show_left(&h[i]);
        b->n_held -= h[i].mark != 0;
        h[i].held = h[i].mark = 0;
        if (b->is_closed && b->n_held == 0) {
            end_state(b);
        }
    }
    return 0;
}
