/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/limit.h"
#include "core/store/memory_ops.h"

/* A level of the call: its budget, and what is known of the id there. */
struct seat {
    struct weir_store_entry *budget;
    struct weir_store_entry *hold, *settled; /* NULL: none */
    struct weir_store_name name;             /* of either */
};

static struct weir_store_entry *find(struct weir_store_place *p, enum weir_store_kind kind,
                                     struct weir_store_name *name)
{
    name->kind = kind;
    return weir_store_find(p->shard, name, p->now_us);
}

static struct weir_store_entry *insert(struct weir_store_place *p, enum weir_store_kind kind,
                                       struct weir_store_name *name, uint64_t expires_us)
{
    name->kind = kind;
    return weir_store_insert(p->shard, name, expires_us, p->now_us);
}

/* A reservation's time is over: its units are free, or count as used and may be settled late. */
static void end_hold(struct weir_store_place *p, struct weir_store_entry *budget,
                     struct weir_store_entry *hold)
{
    uint64_t units = hold->hold.units;
    budget->budget.held -= units;
    if (!hold->hold.keep) {
        weir_store_remove(p->shard, hold);
        return;
    }
    budget->budget.used = weir_store_sum(budget->budget.used, units);
    weir_store_become_settled(p->shard, hold);
    hold->settled.is_kept = true;
    hold->settled.units = units;
    hold->expires_us = weir_store_in_ms(p, WEIR_STORE_BUDGET_IDLE_MS);
}

/* The budget, aged and touched; made when new. NULL: no room. */
static struct weir_store_entry *open_budget(struct weir_store_place *p,
                                            const struct weir_store_name *name)
{
    uint64_t expires_us = weir_store_in_ms(p, WEIR_STORE_BUDGET_IDLE_MS);
    struct weir_store_entry *e = weir_store_find(p->shard, name, p->now_us);
    if (!e) {
        e = weir_store_insert(p->shard, name, expires_us, p->now_us);
    }
    if (e) {
        e->expires_us = expires_us;
        for (struct weir_store_entry *h; (h = weir_store_first_due(e, p->now_us));) {
            end_hold(p, e, h);
        }
    }
    return e;
}

/* Opens every budget. The id is looked for only then: what has ended is gone. WEIR_E_NOMEM. */
static int take_seats(struct weir_store_place *p, const struct weir_store_call *c,
                      struct seat *seats)
{
    for (uint32_t i = 0; i < c->n; i++) {
        struct weir_store_name name =
            weir_store_name_of(WEIR_STORE_BUDGET, c->tenant, c->holds[i].key, (weir_str){NULL, 0});
        seats[i] = (struct seat){
            .budget = open_budget(p, &name),
            .name = weir_store_name_with(&name, WEIR_STORE_HOLD, c->id),
        };
        if (!seats[i].budget) {
            return WEIR_E_NOMEM;
        }
    }
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

/* 0, GONE or BUSY; what the id has already does not count against it. */
static int judge(const struct weir_store_call *c, const struct seat *seats, uint32_t *ret_by)
{
    int rc = 0;
    for (uint32_t i = 0; i < c->n && rc != WEIR_E_GONE; i++) {
        const struct seat *s = &seats[i];
        uint64_t own =
            (s->hold ? s->hold->hold.units : 0) + (s->settled ? s->settled->settled.units : 0);
        uint64_t others = taken(s->budget) - own;
        bool fits = others <= c->holds[i].limit && c->holds[i].units <= c->holds[i].limit - others;
        if (s->settled && !s->settled->settled.is_kept) {
            rc = WEIR_E_GONE;
        } else if (!fits && rc == 0) {
            rc = WEIR_E_BUSY;
            *ret_by = i;
        }
    }
    return rc;
}

/* Takes back what was counted when the id's time was over. */
static void unkeep(struct weir_store_place *p, struct seat *s)
{
    s->budget->budget.used -= s->settled->settled.units;
    weir_store_remove(p->shard, s->settled);
    s->settled = NULL;
}

/* All holds of the call exist afterwards, new ones with no units; false: no room, none was made.
 * What the seats have is alive and no value, so it outlives the room that is made. */
static bool make_holds(struct weir_store_place *p, const struct weir_store_call *c,
                       struct seat *seats)
{
    uint32_t made = 0;
    bool ok = true;
    for (uint32_t i = 0; i < c->n && ok; i++) {
        struct seat *s = &seats[i];
        if (s->hold) {
            continue;
        }
        s->hold = insert(p, WEIR_STORE_HOLD, &s->name, UINT64_MAX);
        if (s->hold) {
            s->hold->wait.due_us = weir_store_in_ms(p, c->number);
            made |= 1u << i;
        }
        ok = s->hold && weir_store_wait(p->shard, s->budget, s->hold);
    }
    for (uint32_t i = 0; i < c->n && !ok; i++) {
        if (made & 1u << i) {
            weir_store_remove(p->shard, seats[i].hold);
        }
    }
    return ok;
}

void weir_store_memory_reserve(struct weir_store_place *p, const struct weir_store_call *c,
                               struct weir_store_answer *a)
{
    struct seat seats[WEIR_STORE_MAX_LEVELS];
    a->result.rc = take_seats(p, c, seats);
    if (a->result.rc < 0) {
        return;
    }
    for (uint32_t i = 0; i < c->n; i++) {
        seats[i].hold = find(p, WEIR_STORE_HOLD, &seats[i].name);
        /* One excludes the other. */
        seats[i].settled = seats[i].hold ? NULL : find(p, WEIR_STORE_SETTLED, &seats[i].name);
    }
    a->result.rc = judge(c, seats, &a->result.refused_by);
    if (a->result.rc == 0 && !make_holds(p, c, seats)) {
        a->result.rc = WEIR_E_NOMEM;
        return;
    }
    for (uint32_t i = 0; i < c->n && a->result.rc == 0; i++) {
        struct seat *s = &seats[i];
        if (s->settled) {
            unkeep(p, s);
        }
        s->budget->budget.held += c->holds[i].units - s->hold->hold.units;
        s->hold->hold.units = c->holds[i].units;
        s->hold->hold.keep = c->flags & WEIR_STORE_KEEP;
        s->hold->wait.due_us = weir_store_in_ms(p, c->number);
        (void)weir_store_wait(p->shard, s->budget, s->hold); /* moves it: needs no memory */
    }
    show_left(c, seats, a);
}

/* Remembering this id may forget others', so each seat is looked at when it is its turn. */
static void settle_one(struct weir_store_place *p, const struct weir_store_call *c, uint32_t i,
                       struct seat *s)
{
    uint64_t expires_us = weir_store_in_ms(p, WEIR_STORE_SETTLED_MS);
    s->hold = find(p, WEIR_STORE_HOLD, &s->name);
    if (s->hold) { /* nearly always, and then the id is not settled */
        s->budget->budget.used = weir_store_sum(s->budget->budget.used, c->holds[i].units);
        s->budget->budget.held -= s->hold->hold.units;
        weir_store_become_settled(p->shard, s->hold);
        s->hold->expires_us = expires_us;
        return;
    }
    s->settled = find(p, WEIR_STORE_SETTLED, &s->name);
    if (s->settled && !s->settled->settled.is_kept) {
        return;
    }
    if (s->settled) {
        unkeep(p, s);
    }
    s->budget->budget.used = weir_store_sum(s->budget->budget.used, c->holds[i].units);
    /* Without room the id is not remembered; what was used counts all the same. */
    (void)insert(p, WEIR_STORE_SETTLED, &s->name, expires_us);
}

void weir_store_memory_settle(struct weir_store_place *p, const struct weir_store_call *c,
                              struct weir_store_answer *a)
{
    struct seat seats[WEIR_STORE_MAX_LEVELS];
    a->result.rc = take_seats(p, c, seats);
    for (uint32_t i = 0; i < c->n && a->result.rc == 0; i++) {
        settle_one(p, c, i, &seats[i]);
    }
    if (a->result.rc == 0) {
        show_left(c, seats, a);
    }
}
