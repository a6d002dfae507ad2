/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "core/store/limit.h"
#include "core/store/memory_ops.h"

/* A level of the call: its budget, and what is known of the id there. */
struct seat {
    struct weir_store_entry *budget;
    struct weir_store_reservation *in; /* NULL: in none */
    uint32_t at;                       /* seat of it */
    bool is_settled;
};

static struct weir_store_id id_of(const struct weir_store_place *p, const struct weir_store_call *c)
{
    return weir_store_id_of(c->id, p->tenant_hash ^ p->shard->map->secret);
}

static void touch(const struct weir_store_place *p, struct weir_store_entry *budget)
{
    budget->expires_us = weir_store_in_ms(p, WEIR_STORE_BUDGET_IDLE_MS);
}

/* The budget; made when new. NULL: no room. */
static struct weir_store_entry *open_budget(struct weir_store_place *p,
                                            const struct weir_store_call *c, weir_str key)
{
    struct weir_store_name name =
        weir_store_name_in(WEIR_STORE_BUDGET, c->tenant, p->tenant_hash, key);
    struct weir_store_entry *e = weir_store_find(p->shard, &name, p->now_us);
    if (!e) {
        e = weir_store_insert(p->shard, &name, UINT64_MAX, p->now_us);
    }
    if (e) {
        touch(p, e);
    }
    return e;
}

static bool is_for(const struct weir_store_place *p, const struct weir_store_entry *budget,
                   weir_str tenant, weir_str key)
{
    return budget->expires_us > p->now_us && budget->tenant_len == tenant.n &&
           budget->key_len == key.n && memcmp(budget->name, tenant.p, tenant.n) == 0 &&
           memcmp(budget->name + tenant.n, key.p, key.n) == 0;
}

/* What nearly every settlement finds: one open reservation of the very budgets that it names. Then
 * nothing else is looked for. */
static bool take_same_seats(struct weir_store_place *p, const struct weir_store_call *c,
                            struct weir_store_id id, struct seat *seats)
{
    struct weir_store_reservation *r = weir_store_reservation_find(p->shard, id, NULL);
    if (!r || r->is_kept || r->n != c->n) {
        return false;
    }
    for (uint32_t i = 0; i < c->n; i++) {
        if (!is_for(p, r->seats[i].budget, c->tenant, c->holds[i].key)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < c->n; i++) {
        seats[i] = (struct seat){.budget = r->seats[i].budget, .in = r, .at = i};
        touch(p, seats[i].budget);
    }
    return true;
}

static void find_seats(const struct weir_store_place *p, const struct weir_store_call *c,
                       struct weir_store_id id, struct seat *seats)
{
    struct weir_store_reservation *r = NULL;
    while ((r = weir_store_reservation_find(p->shard, id, r))) {
        for (uint32_t k = 0; k < r->n; k++) {
            for (uint32_t i = 0; i < c->n; i++) {
                if (seats[i].budget == r->seats[k].budget) {
                    seats[i].in = r;
                    seats[i].at = k;
                }
            }
        }
    }
    for (uint32_t i = 0; i < c->n; i++) { /* one excludes the other */
        seats[i].is_settled = !seats[i].in && weir_store_is_settled(p->shard, id, seats[i].budget);
    }
}

/* Opens every budget, then looks for the id there: what has ended is gone. WEIR_E_NOMEM. */
static int take_seats(struct weir_store_place *p, const struct weir_store_call *c,
                      struct weir_store_id id, struct seat *seats)
{
    for (uint32_t i = 0; i < c->n; i++) {
        seats[i] = (struct seat){.budget = open_budget(p, c, c->holds[i].key)};
        if (!seats[i].budget) {
            return WEIR_E_NOMEM;
        }
    }
    find_seats(p, c, id, seats);
    return 0;
}

static uint64_t taken(const struct weir_store_entry *budget)
{
    return weir_store_sum(budget->budget.used, budget->budget.held);
}

static void show_left(const struct weir_store_call *c, const struct seat *seats,
                      struct weir_store_answer *a)
{
    for (uint32_t i = 0; i < c->n; i++) {
        a->left[i] = weir_store_budget_left(c->holds[i].limit, taken(seats[i].budget));
    }
    a->result.left = a->left;
    a->result.n_left = c->n;
}

/* Units that the id has there already, held or, when it was kept, used. */
static uint64_t own_units(const struct seat *s)
{
    return s->in ? s->in->seats[s->at].units : 0;
}

/* 0, GONE or BUSY; what the id has already does not count against it. */
static int judge(const struct weir_store_call *c, const struct seat *seats, uint32_t *ret_by)
{
    int rc = 0;
    for (uint32_t i = 0; i < c->n && rc != WEIR_E_GONE; i++) {
        uint64_t others = taken(seats[i].budget) - own_units(&seats[i]);
        bool fits = others <= c->holds[i].limit && c->holds[i].units <= c->holds[i].limit - others;
        if (seats[i].is_settled) {
            rc = WEIR_E_GONE;
        } else if (!fits && rc == 0) {
            rc = WEIR_E_BUSY;
            *ret_by = i;
        }
    }
    return rc;
}

/* The id has nothing there any more; its seat stays. */
static void take_back(const struct seat *s)
{
    if (s->in) {
        uint64_t *sum = s->in->is_kept ? &s->budget->budget.used : &s->budget->budget.held;
        *sum -= own_units(s);
    }
}

/* Leaves the seat, which the others' places in the reservation may follow. */
static void leave(struct weir_store_place *p, const struct weir_store_call *c, struct seat *seats,
                  uint32_t i)
{
    struct weir_store_reservation *r = seats[i].in;
    uint32_t last = r ? (uint32_t)r->n - 1 : 0, at = seats[i].at;
    if (!r) {
        return;
    }
    for (uint32_t k = 0; k < c->n; k++) {
        if (seats[k].in == r && seats[k].at == last) {
            seats[k].at = at;
        }
    }
    seats[i].in = NULL;
    weir_store_reservation_leave(p->shard, r, at);
}

/* One open reservation with a seat in each budget, in their order: the id's, or a new one. NULL: no
 * room, nothing has changed. */
static struct weir_store_reservation *open_reservation(struct weir_store_place *p,
                                                       const struct weir_store_call *c,
                                                       struct weir_store_id id, struct seat *seats)
{
    uint64_t due_us = weir_store_in_ms(p, c->number);
    struct weir_store_reservation *r = seats[0].in;
    bool is_same = r && !r->is_kept && r->n == c->n;
    for (uint32_t i = 0; i < c->n && is_same; i++) {
        is_same = seats[i].in == r && seats[i].at == i;
    }
    if (is_same) {
        weir_store_reservation_move(p->shard, r, due_us);
    } else if (!(r = weir_store_reservation_create(p->shard, id, c->n, due_us))) {
        return NULL;
    }
    for (uint32_t i = 0; i < c->n; i++) {
        take_back(&seats[i]);
        if (!is_same) {
            leave(p, c, seats, i);
            r->seats[i].budget = seats[i].budget;
            seats[i].budget->budget.n_seats++;
        }
    }
    return r;
}

void weir_store_memory_reserve(struct weir_store_place *p, const struct weir_store_call *c,
                               struct weir_store_answer *a)
{
    struct seat seats[WEIR_STORE_MAX_LEVELS];
    struct weir_store_id id = id_of(p, c);
    struct weir_store_reservation *r = NULL;
    weir_store_reservations_age(p->shard, p->now_us);
    a->result.rc = take_seats(p, c, id, seats);
    if (a->result.rc < 0) {
        return;
    }
    a->result.rc = judge(c, seats, &a->result.refused_by);
    if (a->result.rc == 0 && !(r = open_reservation(p, c, id, seats))) {
        a->result.rc = WEIR_E_NOMEM;
        return;
    }
    if (r) {
        r->keep = c->flags & WEIR_STORE_KEEP;
        for (uint32_t i = 0; i < c->n; i++) {
            r->seats[i].units = c->holds[i].units;
            seats[i].budget->budget.held += c->holds[i].units;
        }
    }
    show_left(c, seats, a);
}

/* Without room the id is not remembered; what was used counts all the same. */
static void count_used(struct weir_store_place *p, const struct seat *s, struct weir_store_id id,
                       uint64_t units)
{
    take_back(s);
    s->budget->budget.used = weir_store_sum(s->budget->budget.used, units);
    weir_store_remember_settled(p->shard, id, s->budget, p->now_us);
}

void weir_store_memory_settle(struct weir_store_place *p, const struct weir_store_call *c,
                              struct weir_store_answer *a)
{
    struct seat seats[WEIR_STORE_MAX_LEVELS];
    struct weir_store_id id = id_of(p, c);
    assert(c->n > 0); /* weir_store_check() */
    weir_store_reservations_age(p->shard, p->now_us);
    bool is_whole = take_same_seats(p, c, id, seats);
    a->result.rc = is_whole ? 0 : take_seats(p, c, id, seats);
    if (a->result.rc < 0) {
        return;
    }
    for (uint32_t i = 0; i < c->n; i++) {
        if (!seats[i].is_settled) {
            count_used(p, &seats[i], id, c->holds[i].units);
        }
        if (!is_whole) {
            leave(p, c, seats, i);
        }
    }
    if (is_whole) {
        weir_store_reservation_destroy(p->shard, seats[0].in);
    }
    show_left(c, seats, a);
}
