/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/memory_reservations.h"

#include <stdlib.h>

#include "core/store/memory_map.h"

enum { FIRST_SLOTS = 16, FIRST_DUE = 8, STEP_US = 1000 * 1000 };

/* ---- by id ---- */

static bool is_same(const struct weir_store_reservation *r, struct weir_store_id id)
{
    return r->id.hash == id.hash && r->id.tag == id.tag && r->id.member == id.member;
}

/* Those of a group, which are many, stand beside each other. */
static uint32_t home_of(struct weir_store_id id)
{
    return (uint32_t)id.hash + id.member;
}

struct weir_store_reservation *
weir_store_reservation_find(const struct weir_store_shard *s, struct weir_store_id id,
                            const struct weir_store_reservation *after)
{
    const struct weir_store_reservations *all = &s->reservations;
    if (all->n == 0) {
        return NULL;
    }
    uint32_t mask = all->n_slots - 1, i = home_of(id) & mask;
    bool is_behind = after == NULL;
    for (struct weir_store_reservation *r; (r = all->slots[i]); i = (i + 1) & mask) {
        if (is_behind && is_same(r, id)) {
            return r;
        }
        is_behind = is_behind || r == after;
    }
    return NULL;
}

static void link_slot(struct weir_store_reservation **slots, uint32_t n_slots,
                      struct weir_store_reservation *r)
{
    uint32_t i = home_of(r->id) & (n_slots - 1);
    while (slots[i]) {
        i = (i + 1) & (n_slots - 1);
    }
    slots[i] = r;
}

/* Knuth, volume 3, 6.4, algorithm R. */
static void unlink_slot(struct weir_store_reservations *all, const struct weir_store_reservation *r)
{
    uint32_t mask = all->n_slots - 1, hole = home_of(r->id) & mask;
    while (all->slots[hole] != r) {
        hole = (hole + 1) & mask;
    }
    for (uint32_t i = (hole + 1) & mask; all->slots[i]; i = (i + 1) & mask) {
        uint32_t home = home_of(all->slots[i]->id) & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            all->slots[hole] = all->slots[i];
            hole = i;
        }
    }
    all->slots[hole] = NULL;
}

/* Room for one more: half of the slots stay free. */
static bool widen(struct weir_store_reservations *all)
{
    if (all->n < all->n_slots / 2) {
        return true;
    }
    uint32_t n = all->n_slots ? all->n_slots * 2 : FIRST_SLOTS;
    struct weir_store_reservation **slots = n ? calloc(n, sizeof(*slots)) : NULL;
    if (!slots) {
        return false;
    }
    for (uint32_t i = 0; i < all->n_slots; i++) {
        if (all->slots[i]) {
            link_slot(slots, n, all->slots[i]);
        }
    }
    free(all->slots);
    all->slots = slots;
    all->n_slots = n;
    return true;
}

/* ---- by time ---- */

static struct weir_store_due *due_of(struct weir_store_reservations *all,
                                     const struct weir_store_reservation *r)
{
    return r->is_kept ? &all->kept : &all->open;
}

static void put(struct weir_store_due *d, uint32_t at, struct weir_store_reservation *r)
{
    d->at[at - 1] = r;
    r->at = at;
}

/* Brings `r`, whose place is `at` and free, to where it belongs. */
static void sift(struct weir_store_due *d, struct weir_store_reservation *r, uint32_t at)
{
    for (; at > 1 && r->due_us < d->at[at / 2 - 1]->due_us; at /= 2) {
        put(d, at, d->at[at / 2 - 1]);
    }
    for (uint32_t child = at * 2; child <= d->n; child = at * 2) {
        if (child < d->n && d->at[child]->due_us < d->at[child - 1]->due_us) {
            child++;
        }
        if (r->due_us <= d->at[child - 1]->due_us) {
            break;
        }
        put(d, at, d->at[child - 1]);
        at = child;
    }
    put(d, at, r);
}

static bool make_due(struct weir_store_due *d)
{
    if (d->n < d->cap) {
        return true;
    }
    uint32_t cap = d->cap ? d->cap * 2 : FIRST_DUE;
    struct weir_store_reservation **at = cap ? realloc(d->at, cap * sizeof(*at)) : NULL;
    if (at) {
        d->at = at;
        d->cap = cap;
    }
    return at;
}

static void unlink_due(struct weir_store_due *d, const struct weir_store_reservation *r)
{
    struct weir_store_reservation *last = d->at[--d->n];
    if (last != r) {
        sift(d, last, r->at);
    }
}

void weir_store_reservation_move(struct weir_store_shard *s, struct weir_store_reservation *r,
                                 uint64_t due_us)
{
    r->due_us = due_us;
    sift(due_of(&s->reservations, r), r, r->at);
}

/* ---- life ---- */

/* With its places in the table and a heap. */
static size_t bytes_of(uint32_t n)
{
    return sizeof(struct weir_store_reservation) + n * sizeof(struct weir_store_seat) +
           3 * sizeof(void *);
}

struct weir_store_reservation *weir_store_reservation_create(struct weir_store_shard *s,
                                                             struct weir_store_id id, uint32_t n,
                                                             uint64_t due_us)
{
    struct weir_store_reservations *all = &s->reservations;
    if (!widen(all) || !make_due(&all->open) || !weir_store_has_room(s, 1, bytes_of(n))) {
        return NULL;
    }
    struct weir_store_reservation *r =
        weir_store_block_get(&s->blocks, sizeof(*r) + n * sizeof(r->seats[0]));
    if (!r) {
        return NULL;
    }
    weir_store_count_entries(s, 1, bytes_of(n));
    *r = (struct weir_store_reservation){
        .id = id, .due_us = due_us, .n = (uint8_t)n, .n_made = (uint8_t)n};
    for (uint32_t i = 0; i < n; i++) {
        r->seats[i] = (struct weir_store_seat){.budget = NULL};
    }
    link_slot(all->slots, all->n_slots, r);
    all->n++;
    all->open.n++;
    sift(&all->open, r, all->open.n);
    return r;
}

static void leave_budget(const struct weir_store_seat *seat)
{
    if (seat->budget) {
        seat->budget->budget.n_seats--;
    }
}

void weir_store_reservation_destroy(struct weir_store_shard *s, struct weir_store_reservation *r)
{
    struct weir_store_reservations *all = &s->reservations;
    for (uint32_t i = 0; i < r->n; i++) {
        leave_budget(&r->seats[i]);
    }
    unlink_slot(all, r);
    unlink_due(due_of(all, r), r);
    all->n--;
    all->kept_bytes -= r->is_kept ? bytes_of(r->n_made) : 0;
    weir_store_count_entries(s, SIZE_MAX, 0 - bytes_of(r->n_made));
    weir_store_block_put(&s->blocks, r, sizeof(*r) + r->n_made * sizeof(r->seats[0]));
}

void weir_store_reservation_leave(struct weir_store_shard *s, struct weir_store_reservation *r,
                                  uint32_t seat)
{
    if (r->n == 1) {
        weir_store_reservation_destroy(s, r);
        return;
    }
    leave_budget(&r->seats[seat]);
    r->seats[seat] = r->seats[--r->n];
}

void weir_store_reservations_forget(struct weir_store_shard *s,
                                    const struct weir_store_entry *budget)
{
    struct weir_store_reservations *all = &s->reservations;
    uint32_t i = 0;
    while (budget->budget.n_seats && i < all->n_slots) {
        struct weir_store_reservation *r = all->slots[i];
        uint32_t seat = 0;
        while (r && seat < r->n && r->seats[seat].budget != budget) {
            seat++;
        }
        if (r && seat < r->n) {
            weir_store_reservation_leave(s, r, seat); /* another one may stand here then */
        } else {
            i++;
        }
    }
}

void weir_store_reservations_finish(struct weir_store_shard *s)
{
    struct weir_store_reservations *all = &s->reservations;
    weir_store_ids_finish(s, &all->settled);
    free(all->slots);
    free(all->open.at);
    free(all->kept.at);
}

/* ---- what is over ---- */

/* Do settled ids and kept reservations take more than half of the room? */
static bool is_too_much(struct weir_store_shard *s)
{
    struct weir_store_reservations *all = &s->reservations;
    size_t now = all->settled.n_bytes + all->kept_bytes, more = now - all->counted;
    all->counted = now;
    /* Relaxed: the bound is no more exact than make_room() says. */
    size_t before =
        more ? atomic_fetch_add_explicit(&s->map->n_over_bytes, more, memory_order_relaxed)
             : atomic_load_explicit(&s->map->n_over_bytes, memory_order_relaxed);
    return before + more > s->map->max_bytes / 2;
}

static void end(struct weir_store_shard *s, struct weir_store_reservation *r, uint64_t now_us)
{
    struct weir_store_reservations *all = &s->reservations;
    bool keep = r->keep && make_due(&all->kept);
    for (uint32_t i = 0; i < r->n; i++) {
        struct weir_store_entry *budget = r->seats[i].budget;
        budget->budget.held -= r->seats[i].units;
        if (r->keep) { /* also where there is no memory to know of it */
            uint64_t used = budget->budget.used, units = r->seats[i].units;
            budget->budget.used = used > UINT64_MAX - units ? UINT64_MAX : used + units;
        }
    }
    if (!keep) {
        weir_store_reservation_destroy(s, r);
        return;
    }
    unlink_due(&all->open, r);
    r->is_kept = true;
    r->due_us = now_us + WEIR_STORE_BUDGET_IDLE_MS * 1000;
    all->kept_bytes += bytes_of(r->n_made);
    all->kept.n++;
    sift(&all->kept, r, all->kept.n);
    while (all->kept.n > 1 && is_too_much(s)) {
        weir_store_reservation_destroy(s, all->kept.at[0]);
        atomic_fetch_add_explicit(&s->map->forgotten, 1, memory_order_relaxed);
    }
}

static void forget_old(struct weir_store_shard *s, uint64_t now_us)
{
    struct weir_store_reservations *all = &s->reservations;
    while (all->n_steps) {
        if (all->steps[all->first_step].at_us + STEP_US + WEIR_STORE_SETTLED_MS * 1000 > now_us) {
            return;
        }
        all->first_step = (all->first_step + 1) % WEIR_STORE_SETTLED_STEPS;
        all->n_steps--;
        uint32_t oldest =
            all->n_steps ? all->steps[all->first_step].first : all->settled.newest + 1;
        uint32_t n = oldest - all->settled.oldest;
        if (n <= weir_store_ids_count(&all->settled)) { /* some may have been forgotten early */
            weir_store_ids_forget(s, &all->settled, oldest);
            atomic_fetch_add_explicit(&s->map->expired, n, memory_order_relaxed);
        }
    }
}

void weir_store_reservations_age(struct weir_store_shard *s, uint64_t now_us)
{
    struct weir_store_reservations *all = &s->reservations;
    while (all->open.n && all->open.at[0]->due_us <= now_us) {
        end(s, all->open.at[0], now_us);
    }
    while (all->kept.n && all->kept.at[0]->due_us <= now_us) {
        weir_store_reservation_destroy(s, all->kept.at[0]);
    }
    forget_old(s, now_us);
    (void)is_too_much(s); /* counts */
}

/* ---- settled ids ---- */

static struct weir_store_id of_budget(struct weir_store_id id,
                                      const struct weir_store_entry *budget)
{
    id.tag += budget->budget.serial * UINT32_C(0x9e3779b1); /* another one for each budget */
    return id;
}

bool weir_store_is_settled(const struct weir_store_shard *s, struct weir_store_id id,
                           const struct weir_store_entry *budget)
{
    return weir_store_ids_find(&s->reservations.settled, of_budget(id, budget), NULL, NULL);
}

/* A step for each second at most, and never more of them than there is room for. */
static void note_time(struct weir_store_reservations *all, uint64_t now_us)
{
    uint32_t last = (all->first_step + all->n_steps - 1) % WEIR_STORE_SETTLED_STEPS;
    if (all->n_steps && now_us - all->steps[last].at_us < STEP_US) {
        return;
    }
    uint32_t next = (all->first_step + all->n_steps++) % WEIR_STORE_SETTLED_STEPS;
    all->steps[next].at_us = now_us;
    all->steps[next].first = all->settled.newest + 1;
}

/* An eighth of those of this shard, the oldest. */
static void forget_early(struct weir_store_shard *s)
{
    struct weir_store_ids *ids = &s->reservations.settled;
    uint32_t n = weir_store_ids_count(ids), n_less = n > 8 ? n / 8 : n;
    weir_store_ids_forget(s, ids, ids->oldest + n_less);
    atomic_fetch_add_explicit(&s->map->forgotten, n_less, memory_order_relaxed);
}

void weir_store_remember_settled(struct weir_store_shard *s, struct weir_store_id id,
                                 const struct weir_store_entry *budget, uint64_t now_us)
{
    struct weir_store_reservations *all = &s->reservations;
    note_time(all, now_us);
    id = of_budget(id, budget);
    bool ok = weir_store_ids_add(s, &all->settled, id, !all->settled.tables || !is_too_much(s));
    while (!ok && weir_store_ids_count(&all->settled)) {
        forget_early(s);
        ok = weir_store_ids_add(s, &all->settled, id, !all->settled.tables);
    }
}
