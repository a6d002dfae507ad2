/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to the store, and the requests that wait for them. */
#include <stdlib.h>

#include "limiter.h"

enum { MAX_SPARE = 32, BATCH = 64, LOST_US = 1000000 };

struct fetch *fetch_new(struct limiter *l, struct shard *sh, bool slots)
{
    struct fetch *f = sh->spare;
    if (f) {
        sh->spare = f->next_spare;
        sh->n_spare--;
    } else {
        f = malloc(sizeof(*f));
    }
    if (f) {
        f->l = l;
        f->shard = sh;
        f->waiting = f->last_waiting = NULL;
        f->slots = slots;
        f->n = 0;
    }
    return f;
}

static void retire(struct shard *sh, struct fetch *f)
{
    if (sh->n_spare == MAX_SPARE) {
        free(f);
        return;
    }
    f->next_spare = sh->spare;
    sh->spare = f;
    sh->n_spare++;
}

void fetch_add(struct fetch *f, struct subject *s, unsigned item, uint64_t units)
{
    struct fetch_item it = {.s = s, .item = item, .units = units, .depth = s->slots.limit};
    if (item != SUBJECT_SLOT) {
        it.rate = s->buckets[item]->rate;
        it.depth = s->buckets[item]->depth;
    }
    f->items[f->n++] = it;
    s->fetching[item] = f;
    s->e.pins++;
}

void limiter_lost(struct limiter *l, int rc)
{
    uint64_t until = limiter_now(l) + LOST_US;
    (void)atomic_fetch_add_explicit(&l->counters.call_failures, 1, memory_order_relaxed);
    if (atomic_exchange_explicit(&l->lost_until_us, until, memory_order_relaxed) == 0) {
        static const char *const what[] = {"requests are refused", "requests pass without limits",
                                           "each replica counts its own share"};
        char line[160];
        struct text t = text_on(line, sizeof(line));
        text_add_store_loss(&t, rc);
        text_add(&t, weir_str_from(what[l->on_loss]));
        TEXT_ADD(&t, " until it is back (on_store_loss)");
        l->host->log(l->host, WEIR_LEVEL_ERROR, NULL, text_view(&t));
    }
}

void limiter_found(struct limiter *l)
{
    /* Looked at first: a store in every exchange would make all workers share the line. */
    if (atomic_load_explicit(&l->lost_until_us, memory_order_relaxed) != 0 &&
        atomic_exchange_explicit(&l->lost_until_us, 0, memory_order_relaxed) != 0) {
        static const char line[] = "the store is back: limits hold over all replicas again";
        l->host->log(l->host, WEIR_LEVEL_INFO, NULL, weir_str_from(line));
    }
}

static void count_lease(struct limiter *l, const struct fetch_item *it)
{
    const struct bucket *b = it->s->buckets[it->item];
    if (b->life_us && it->units > b->wanted) {
        (void)atomic_fetch_add_explicit(&l->counters.leases[it->s->e.level], 1,
                                        memory_order_relaxed);
        (void)atomic_fetch_add_explicit(&l->counters.leased[it->s->e.level][b->rate.resource],
                                        it->units - b->wanted, memory_order_relaxed);
    }
}

static void apply_item(struct fetch *f, uint32_t i, int rc, const weir_store_result *r,
                       uint64_t now_us)
{
    struct fetch_item *it = &f->items[i];
    bool told = r && i < r->n_left && r->left;
    if (it->item == SUBJECT_SLOT) {
        struct slots *s = &it->s->slots;
        if (rc == 0) {
            s->reserved = (uint32_t)it->units;
            s->expires_us = f->sent_us + f->l->slot_ttl_ms * 1000;
        }
        if (told) {
            s->left = r->left[i].units;
            s->left_at_us = now_us;
        }
        return;
    }
    struct bucket *b = it->s->buckets[it->item];
    if (!bucket_is_of(b, &it->rate)) {
        return; /* changed meanwhile: these are units of a limit that is no more */
    }
    if (rc == 0) {
        count_lease(f->l, it);
        bucket_credit(b, it->units, f->sent_us);
    }
    if (told) {
        bucket_saw(b, r->left[i].units, now_us);
    }
}

/* Unlinks up to BATCH of those that wait; the shard is locked. */
static uint32_t pop_waiting(struct fetch *f, weir_ticket tickets[BATCH])
{
    uint32_t n = 0;
    while (f->waiting && n < BATCH) {
        weir_ticket ticket = f->waiting->ticket;
        limiter_unlink(f->waiting);
        if (ticket) {
            tickets[n++] = ticket;
        }
    }
    return n;
}

static void finish(struct fetch *f, int rc, const weir_store_result *r)
{
    struct limiter *l = f->l;
    struct shard *sh = f->shard;
    bool slots = f->slots;
    uint64_t now_us = limiter_now(l);
    if (rc == 0 || rc == WEIR_E_BUSY || rc == WEIR_E_TOOBIG) {
        limiter_found(l);
    } else {
        limiter_lost(l, rc);
    }
    pthread_mutex_lock(&sh->entries->lock);
    for (uint32_t i = 0; i < f->n; i++) {
        apply_item(f, i, rc, r, now_us);
        f->items[i].s->fetching[f->items[i].item] = NULL;
        if (l->shared || slots) { /* places need a sign of life in any case */
            sweep_mark(sh, f->items[i].s);
        }
    }
    for (struct admission *a = f->waiting; a; a = a->next) {
        (void)limiter_acquire(sh, a, now_us, true);
    }
    for (uint32_t i = 0; i < f->n; i++) {
        f->items[i].s->e.pins--;
    }
    while (f->waiting) {
        weir_ticket tickets[BATCH];
        uint32_t n = pop_waiting(f, tickets);
        pthread_mutex_unlock(&sh->entries->lock);
        for (uint32_t i = 0; i < n; i++) {
            (void)l->host->resume(l->host, tickets[i], 0, (weir_str){NULL, 0});
        }
        pthread_mutex_lock(&sh->entries->lock);
    }
    retire(sh, f);
    pthread_mutex_unlock(&sh->entries->lock);
    if (l->shared || slots) {
        sweep_arm(l);
    }
}

static void on_done(void *arg, const weir_store_result *r)
{
    finish(arg, r->rc, r);
}

static weir_str add_key(const struct fetch_item *it, char *buffer)
{
    struct text key = text_on(buffer, LEVEL_KEY_BYTES);
    subject_key(it->s, it->item == SUBJECT_SLOT ? NULL : &it->rate, &key);
    return text_view(&key);
}

/* Only the sender touches the items until the call is answered, and the names of pinned subjects
 * stay: no lock is needed. */
static int send_take(struct fetch *f, weir_str tenant)
{
    char keys[WEIR_STORE_MAX_LEVELS][LEVEL_KEY_BYTES];
    weir_store_limit levels[WEIR_STORE_MAX_LEVELS];
    for (uint32_t i = 0; i < f->n; i++) {
        const struct fetch_item *it = &f->items[i];
        levels[i] = (weir_store_limit){.key = add_key(it, keys[i]),
                                       .units = it->units,
                                       .limit = it->rate.limit,
                                       .period_us = it->rate.period_us,
                                       .burst = it->depth};
    }
    return f->l->store->take(f->l->host, tenant, levels, f->n, on_done, f);
}

static int send_reserve(struct fetch *f, weir_str tenant)
{
    char keys[WEIR_STORE_MAX_LEVELS][LEVEL_KEY_BYTES];
    weir_store_hold holds[WEIR_STORE_MAX_LEVELS];
    for (uint32_t i = 0; i < f->n; i++) {
        const struct fetch_item *it = &f->items[i];
        holds[i] = (weir_store_hold){add_key(it, keys[i]), it->units, it->depth};
    }
    return f->l->store->reserve(f->l->host, tenant, holds, f->n, weir_str_from(f->l->id),
                                f->l->slot_ttl_ms, 0, on_done, f);
}

void fetch_send(struct fetch *f, uint64_t now_us)
{
    struct limiter *l = f->l;
    weir_str tenant = level_entry_tenant(&f->items[0].s->e);
    (void)atomic_fetch_add_explicit(&l->counters.calls, 1, memory_order_relaxed);
    f->sent_us = now_us;
    int rc = f->slots ? send_reserve(f, tenant) : send_take(f, tenant);
    if (rc < 0) {
        finish(f, rc, NULL);
    }
}
