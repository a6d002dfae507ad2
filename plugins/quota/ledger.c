/* SPDX-License-Identifier: Apache-2.0 */
/* The calls: reserve before, settle after, and again when the store did not take it. */
#include "ledger.h"

#include <stdlib.h>

#include "price_book.h"

enum {
    TTL_MS = 24 * 3600 * 1000, /* of reservations; they are kept beyond it */
    SUSPEND_MS = 2000,         /* the store answers long before */
    MAX_ROUNDS = 3,            /* waits for one answer */
    LOST_US = 1000000,
    PROBE_US = 200000,
};
/* The store knows for a minute that an id was settled. */
#define RETRY_US (UINT64_C(50) * 1000000)

uint64_t ledger_now(const struct ledger *l)
{
    return l->host->now_us(l->host);
}

static void add_one(atomic_uint_least64_t *counter)
{
    (void)atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* ---- is the store there? ---- */

static void say_lost(struct ledger *l, int rc)
{
    static const char *const what[] = {"requests with a budget are refused",
                                       "requests pass and are counted later",
                                       "each replica spends its share of what was left"};
    char line[200];
    struct text t = text_on(line, sizeof(line));
    text_add_store_loss(&t, rc);
    text_add(&t, weir_str_from(what[l->on_loss]));
    TEXT_ADD(&t, " until it is back (on_store_loss)");
    l->host->log(l->host, WEIR_LEVEL_ERROR, NULL, text_view(&t));
}

void ledger_answered(struct ledger *l, int rc)
{
    bool answered = rc == 0 || rc == WEIR_E_BUSY || rc == WEIR_E_GONE;
    uint64_t until = answered ? 0 : ledger_now(l) + LOST_US;
    if (answered && atomic_load_explicit(&l->lost_until_us, memory_order_relaxed) == 0) {
        return;
    }
    uint64_t before = atomic_exchange_explicit(&l->lost_until_us, until, memory_order_relaxed);
    if (!answered) {
        add_one(&l->counters.failures);
    }
    if (!answered && before == 0) {
        say_lost(l, rc);
    } else if (answered && before != 0) {
        static const char line[] = "the store is back: budgets hold over all replicas again";
        l->host->log(l->host, WEIR_LEVEL_INFO, NULL, weir_str_from(line));
    }
}

/* Now and then one request is told no, and tries. */
bool ledger_is_lost(struct ledger *l)
{
    uint64_t until = atomic_load_explicit(&l->lost_until_us, memory_order_relaxed);
    if (until == 0) {
        return false;
    }
    uint64_t now_us = ledger_now(l);
    return now_us < until ||
           !atomic_compare_exchange_strong_explicit(&l->lost_until_us, &until, now_us + PROBE_US,
                                                    memory_order_relaxed, memory_order_relaxed);
}

/* ---- one call for the next holds ---- */

uint32_t ledger_next(const struct reservation *r)
{
    uint32_t n = (r->n_done < r->n_tenant ? r->n_tenant : r->n) - r->n_done;
    return n < WEIR_STORE_MAX_LEVELS ? n : WEIR_STORE_MAX_LEVELS;
}

static uint32_t next_holds(const struct reservation *r,
                           weir_store_hold holds[WEIR_STORE_MAX_LEVELS])
{
    uint32_t n = ledger_next(r);
    for (uint32_t i = 0; i < n; i++) {
        const struct hold *h = &r->holds[r->n_done + i];
        holds[i] = (weir_store_hold){ledger_key(r, h), h->units, h->budget.limit};
    }
    return n;
}

static weir_str next_tenant(const struct reservation *r)
{
    return (weir_str){r->text, r->n_done < r->n_tenant ? r->tenant_len : 0};
}

/* ---- settling ---- */

static void settle_next(struct reservation *r);

/* In one piece of memory. */
static struct reservation *keep(const struct reservation *draft)
{
    size_t n_holds = draft->n * sizeof(*draft->holds);
    size_t n_more = draft->at_hand ? draft->n * sizeof(*draft->at_hand) : draft->text_len;
    struct reservation *r = malloc(sizeof(*r) + n_holds + n_more);
    if (!r) {
        return NULL;
    }
    *r = *draft;
    r->in_room = false;
    r->more = NULL;
    r->holds = (struct hold *)(r + 1);
    memcpy(r->holds, draft->holds, n_holds);
    if (draft->at_hand) {
        r->at_hand = (weir_store_holding *)(r->holds + draft->n);
        memcpy(r->at_hand, draft->at_hand, n_more);
    } else {
        r->text = (char *)(r->holds + draft->n);
        memcpy(r->text, draft->text, n_more);
    }
    return r;
}

static void drop_unsettled(struct reservation *r)
{
    add_one(&r->ledger->counters.dropped);
    ledger_drop(r);
}

void ledger_put_off(struct reservation *r)
{
    struct ledger *l = r->ledger;
    struct reservation *dropped = NULL, *own = r->in_room ? keep(r) : r;
    if (!own) {
        drop_unsettled(r);
        return;
    }
    if (own != r) { /* it outlives the request */
        ledger_free(r);
        r = own;
    }
    pthread_mutex_lock(&l->lock);
    r->next = NULL;
    *(l->last_pending ? &l->last_pending->next : &l->pending) = r;
    l->last_pending = r;
    if (l->n_pending == LEDGER_MAX_PENDING) {
        dropped = l->pending;
        l->pending = dropped->next;
    } else {
        l->n_pending++;
    }
    pthread_mutex_unlock(&l->lock);
    if (dropped) {
        drop_unsettled(dropped);
    }
}

static void on_settled(void *arg, const weir_store_result *a)
{
    struct reservation *r = arg;
    uint32_t n = r->n_asked;
    r->n_asked = 0;
    ledger_answered(r->ledger, a->rc);
    if (a->rc < 0) {
        if (a->rc != WEIR_E_IO && r->unsure_us == 0) {
            r->unsure_us = ledger_now(r->ledger); /* it may have happened */
        }
        ledger_put_off(r);
        return;
    }
    ledger_learn(r, r->n_done, n, a);
    r->n_done += n;
    settle_next(r);
}

/* At most LEDGER_MAX_HOLDS / WEIR_STORE_MAX_LEVELS + 1 deep, where the store answers at once. */
static void settle_next(struct reservation *r)
{
    struct ledger *l = r->ledger;
    if (r->n_done == r->n) {
        ledger_drop(r);
        return;
    }
    weir_store_hold holds[WEIR_STORE_MAX_LEVELS];
    r->n_asked = next_holds(r, holds);
    int rc = l->store->settle(l->host, next_tenant(r), holds, r->n_asked, weir_str_from(r->id),
                              on_settled, r);
    if (rc < 0) {
        on_settled(r, &(weir_store_result){.struct_size = sizeof(weir_store_result), .rc = rc});
    }
}

/* Those that the store has not taken yet. */
static void settle(struct reservation *r)
{
    if (r->at_hand) {
        direct_settle(r);
    } else {
        settle_next(r);
    }
}

void ledger_retry(struct ledger *l)
{
    if (atomic_load_explicit(&l->lost_until_us, memory_order_relaxed) > ledger_now(l)) {
        return;
    }
    pthread_mutex_lock(&l->lock);
    struct reservation *r = l->pending;
    l->pending = l->last_pending = NULL;
    l->n_pending = 0;
    pthread_mutex_unlock(&l->lock);
    while (r) {
        struct reservation *next = r->next;
        if (r->unsure_us && ledger_now(l) - r->unsure_us > RETRY_US) {
            drop_unsettled(r);
        } else {
            settle(r);
        }
        r = next;
    }
}

static void on_last(void *arg, const weir_store_result *a)
{
    (void)arg;
    (void)a;
}

/* The last try: nobody is there any more to hear of it. */
static void settle_blindly(struct reservation *r)
{
    struct ledger *l = r->ledger;
    while (r->n_done < r->n) {
        weir_store_hold holds[WEIR_STORE_MAX_LEVELS];
        uint32_t n = ledger_next(r);
        if (r->at_hand) {
            (void)l->store->budget_settle(l->host, &r->at_hand[r->n_done], n);
        } else {
            (void)next_holds(r, holds);
            (void)l->store->settle(l->host, next_tenant(r), holds, n, weir_str_from(r->id), on_last,
                                   NULL);
        }
        r->n_done += n;
    }
    ledger_drop(r);
}

void ledger_finish(struct ledger *l)
{
    while (l->pending) {
        struct reservation *r = l->pending;
        l->pending = r->next;
        settle_blindly(r);
    }
    level_table_finish(&l->table);
    pthread_mutex_destroy(&l->lock);
}

/* What was counted here while the store was lost. */
static void correct_local(const struct reservation *r, const struct hold *h, uint64_t used)
{
    if (!r->lost || !h->is_binding || h->at >= h->owner->set.n) {
        return;
    }
    pthread_mutex_lock(&h->owner->e.shard->lock);
    struct budget_state *s = &h->owner->states[h->at];
    uint64_t unused = h->units > used ? h->units - used : 0;
    if (s->window_s == h->window.start_s) {
        s->local = s->local > unused ? s->local - unused : 0;
    }
    pthread_mutex_unlock(&h->owner->e.shard->lock);
}

void ledger_settle(struct reservation *r, const struct usage *used)
{
    for (uint32_t i = 0; i < r->n; i++) {
        uint64_t units = used ? ledger_units(&r->holds[i], r, used) : 0;
        if (i >= r->n_done) {
            correct_local(r, &r->holds[i], units);
        }
        r->holds[i].units = units;
        if (r->at_hand) {
            r->at_hand[i].units = units;
        }
    }
    r->ended = true;
    bool may_be_reserved = r->n_done > 0 || r->rc == WEIR_E_TIMEOUT || used;
    if (r->n_asked) {
        return; /* on_reserved goes on */
    }
    r->n_done = 0;
    if (may_be_reserved) {
        settle(r);
    } else {
        ledger_drop(r);
    }
}

/* ---- reserving ---- */

static void on_reserved(void *arg, const weir_store_result *a)
{
    struct reservation *r = arg;
    uint32_t n = r->n_asked;
    r->n_asked = 0;
    r->rc = a->rc;
    ledger_answered(r->ledger, a->rc);
    if (a->rc == 0 || a->rc == WEIR_E_BUSY) {
        ledger_learn(r, r->n_done, n, a);
    }
    if (a->rc == WEIR_E_BUSY) {
        r->by = r->n_done + (a->refused_by < n ? a->refused_by : 0);
    } else if (a->rc == 0) {
        r->n_done += n;
    }
    if (r->ended) { /* the client left meanwhile */
        r->n_done = 0;
        settle_next(r);
    } else if (!r->in_reserve) {
        (void)r->ledger->host->resume(r->ledger->host, r->ticket, 0, (weir_str){NULL, 0});
    }
}

static void reserve_next(struct reservation *r)
{
    struct ledger *l = r->ledger;
    weir_store_hold holds[WEIR_STORE_MAX_LEVELS];
    r->n_asked = next_holds(r, holds);
    r->in_reserve = true;
    int rc = l->store->reserve(l->host, next_tenant(r), holds, r->n_asked, weir_str_from(r->id),
                               TTL_MS, WEIR_STORE_KEEP, on_reserved, r);
    if (rc < 0) {
        on_reserved(r, &(weir_store_result){.struct_size = sizeof(weir_store_result), .rc = rc});
    }
    r->in_reserve = false;
}

static enum reserve_result wait(struct reservation *r)
{
    r->ticket = r->ledger->host->suspend(r->ledger->host, r->req, SUSPEND_MS);
    return r->ticket ? RESERVE_WAIT : RESERVE_BROKEN;
}

enum reserve_result ledger_reserve(struct reservation *r)
{
    if (r->n_asked) { /* resumed by a stranger, or the store is worse than it promises */
        return r->rounds++ < MAX_ROUNDS ? wait(r) : ledger_decide_alone(r);
    }
    while (r->rc == 0 && r->n_done < r->n) {
        if (ledger_is_lost(r->ledger)) {
            r->rc = WEIR_E_IO;
            break;
        }
        reserve_next(r);
        if (r->n_asked) {
            return wait(r);
        }
    }
    return r->rc == 0             ? RESERVE_OK
           : r->rc == WEIR_E_BUSY ? RESERVE_EXHAUSTED
                                  : ledger_decide_alone(r);
}

static void make_id(struct reservation *r)
{
    struct ledger *l = r->ledger;
    struct text id = text_on(r->id, sizeof(r->id) - 1);
    text_add(&id, weir_str_from(l->prefix));
    text_add_char(&id, '-');
    text_add_u64(&id, atomic_fetch_add_explicit(&l->last_id, 1, memory_order_relaxed));
}

static void begin(struct reservation *r, struct ledger *l, const struct level_ids *ids)
{
    r->ledger = l;
    r->req = ids->req;
    r->began_us = weir_host_turn_wall_us(l->host);
    if (l->prices) {
        r->price = price_book_find(l->prices, level_ids_model(ids), r->began_us);
    }
}

static enum reserve_result begin_direct(struct ledger *l, const struct level_ids *ids,
                                        const struct usage *most, struct reservation_room *room,
                                        struct reservation **ret)
{
    struct reservation *r = &room->reservation;
    r->in_room = true;
    r->holds = room->holds;
    r->at_hand = room->at_hand;
    r->cap = LEDGER_FEW;
    begin(r, l, ids);
    enum reserve_result result = ledger_add_holds(r, ids, most);
    if (result == RESERVE_OK && r->n) {
        *ret = r;
        return RESERVE_OK;
    }
    direct_let_go(r);
    ledger_unpin(r, 0);
    free(r->more);
    return result;
}

static enum reserve_result begin_by_keys(struct ledger *l, const struct level_ids *ids,
                                         const struct usage *most, struct reservation **ret)
{
    struct hold holds[LEDGER_MAX_HOLDS];
    char bytes[LEDGER_TEXT_BYTES];
    struct text tenant = text_on(bytes, LEVEL_KEY_BYTES);
    text_add(&tenant, ids->tenant);
    if (tenant.n < ids->tenant.n) {
        return RESERVE_BROKEN;
    }
    struct reservation draft = {.tenant_len = (uint32_t)tenant.n,
                                .text_len = (uint32_t)tenant.n,
                                .holds = holds,
                                .cap = LEDGER_MAX_HOLDS,
                                .text = bytes};
    begin(&draft, l, ids);
    enum reserve_result result = ledger_add_holds(&draft, ids, most);
    struct reservation *r = result == RESERVE_OK && draft.n ? keep(&draft) : NULL;
    if (!r) {
        ledger_unpin(&draft, 0);
        return result == RESERVE_OK && draft.n ? RESERVE_BROKEN : result;
    }
    make_id(r);
    *ret = r;
    return RESERVE_OK;
}

enum reserve_result ledger_begin(struct ledger *l, const struct level_ids *ids,
                                 const struct usage *most, struct reservation_room *room,
                                 struct reservation **ret)
{
    *ret = NULL;
    return l->direct ? begin_direct(l, ids, most, room, ret) : begin_by_keys(l, ids, most, ret);
}
