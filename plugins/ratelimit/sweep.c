/* SPDX-License-Identifier: Apache-2.0 */
/* Gives back what was debited and not spent in time, and keeps reservations of places alive. */
#include "limiter.h"

enum { SWEEP_MS = 25 };

struct give_batch {
    weir_store_limit levels[WEIR_STORE_MAX_LEVELS];
    char keys[WEIR_STORE_MAX_LEVELS][LEVEL_KEY_BYTES];
    char tenant[LEVEL_KEY_BYTES * 2];
    size_t tenant_len;
    uint32_t n;
};

void sweep_mark(struct shard *sh, struct subject *s)
{
    if (!s->is_dirty) {
        s->is_dirty = true;
        s->next_dirty = sh->dirty;
        sh->dirty = s;
    }
}

/* Units that are on their way back are nobody's: when the call fails they refill by themselves. */
static void on_given(void *arg, const weir_store_result *r)
{
    (void)arg;
    (void)r;
}

static void send_batch(struct limiter *l, struct give_batch *b)
{
    if (b->n) {
        (void)l->store->give(l->host, (weir_str){b->tenant, b->tenant_len}, b->levels, b->n,
                             on_given, NULL);
    }
    b->n = 0;
}

static void add_to_batch(struct limiter *l, struct give_batch *b, const struct subject *s,
                         unsigned item, uint64_t units)
{
    const struct bucket *bucket = s->buckets[item];
    if (b->n == 0) {
        struct text t = text_on(b->tenant, sizeof(b->tenant));
        text_add(&t, level_entry_tenant(&s->e));
        b->tenant_len = t.n;
    }
    struct text key = text_on(b->keys[b->n], sizeof(b->keys[b->n]));
    subject_key(s, &bucket->rate, &key);
    b->levels[b->n++] = (weir_store_limit){.key = text_view(&key),
                                           .units = units,
                                           .limit = bucket->rate.limit,
                                           .period_us = bucket->rate.period_us,
                                           .burst = bucket->depth};
    (void)atomic_fetch_add_explicit(&l->counters.returned[s->e.level][bucket->rate.resource], units,
                                    memory_order_relaxed);
}

/* Places that are no longer needed, and a sign of life for the others. A fetch to send, or NULL. */
static struct fetch *renew_slots(struct limiter *l, struct shard *sh, struct subject *s,
                                 uint64_t now_us)
{
    struct slots *p = &s->slots;
    if (s->fetching[SUBJECT_SLOT] || p->wanted || p->reserved == 0 ||
        atomic_load_explicit(&l->lost_until_us, memory_order_relaxed) > now_us) {
        return NULL;
    }
    bool old = now_us + l->slot_ttl_ms * 500 > p->expires_us;
    if (p->reserved == p->running && !old) {
        return NULL;
    }
    struct fetch *f = fetch_new(l, sh, true);
    if (f) {
        p->reserved = p->running; /* nobody may take a place that is on its way back */
        fetch_add(f, s, SUBJECT_SLOT, p->running);
    }
    return f;
}

/* One dirty subject; true: there will be more to do. A fetch is to be sent without the lock. */
static bool visit(struct limiter *l, struct shard *sh, struct subject *s, uint64_t now_us, bool all,
                  struct give_batch *b, struct fetch **ret_fetch)
{
    bool more = false;
    for (unsigned bits = s->made; bits; bits &= bits - 1) {
        unsigned i = (unsigned)__builtin_ctz(bits);
        struct bucket *bucket = s->buckets[i];
        bool idle = !s->fetching[i] && bucket->wanted == 0;
        uint64_t units =
            idle && b->n < WEIR_STORE_MAX_LEVELS ? bucket_expire(bucket, now_us, all) : 0;
        if (units) {
            add_to_batch(l, b, s, i, units);
        }
        more = more || bucket->balance > 0;
    }
    *ret_fetch = renew_slots(l, sh, s, now_us);
    return more || s->slots.reserved > 0 || *ret_fetch;
}

static struct subject *take_dirty(struct shard *sh)
{
    struct subject *list = sh->dirty;
    sh->dirty = NULL;
    return list;
}

/* One shard; true: some subjects stay dirty. */
static bool sweep_shard(struct limiter *l, struct shard *sh, uint64_t now_us)
{
    struct give_batch b;
    b.n = 0;
    b.tenant_len = 0; /* the rest is large, and written before it is read */
    pthread_mutex_lock(&sh->entries->lock);
    struct subject *s = take_dirty(sh);
    bool more = false;
    while (s) {
        struct subject *next = s->next_dirty;
        struct fetch *f = NULL;
        s->e.pins++; /* it may not go while the lock is open */
        bool stays = visit(l, sh, s, now_us, false, &b, &f);
        if (stays) {
            s->next_dirty = sh->dirty;
            sh->dirty = s;
        } else {
            s->is_dirty = false;
        }
        more = more || stays;
        weir_str following = next ? level_entry_tenant(&next->e) : (weir_str){NULL, 0};
        bool full = b.n > WEIR_STORE_MAX_LEVELS - LIMIT_MAX_RATES || !next ||
                    !weir_str_eq(following, (weir_str){b.tenant, b.tenant_len});
        if (f || (full && b.n)) {
            pthread_mutex_unlock(&sh->entries->lock);
            send_batch(l, &b);
            if (f) {
                fetch_send(f, now_us);
            }
            pthread_mutex_lock(&sh->entries->lock);
        }
        s->e.pins--;
        s = next;
    }
    more = more || sh->dirty;
    pthread_mutex_unlock(&sh->entries->lock);
    return more;
}

void sweep_now(struct limiter *l, struct shard *sh, const struct admission *a, uint64_t now_us)
{
    struct give_batch b;
    b.n = 0;
    for (uint32_t i = 0; i < a->n; i++) { /* pinned, so they stay when the lock is open */
        struct subject *s = a->held[i].s;
        if (s->e.shard != sh->entries) {
            continue;
        }
        struct fetch *f = NULL;
        (void)visit(l, sh, s, now_us, true, &b, &f);
        if (f || b.n > WEIR_STORE_MAX_LEVELS - LIMIT_MAX_RATES) {
            pthread_mutex_unlock(&sh->entries->lock);
            send_batch(l, &b);
            if (f) {
                fetch_send(f, now_us);
            }
            pthread_mutex_lock(&sh->entries->lock);
        }
    }
    pthread_mutex_unlock(&sh->entries->lock);
    send_batch(l, &b);
}

/* The instance ends, and nothing runs any more: all that it holds goes back. */
void sweep_last(struct limiter *l, struct shard *sh)
{
    for (unsigned i = 0; i < LEVEL_CHAINS; i++) {
        for (struct level_entry *e = sh->entries->chains[i]; e; e = e->next) {
            struct subject *s = (struct subject *)e;
            struct give_batch b;
            b.n = 0;
            for (unsigned k = 0; k < LIMIT_MAX_RATES; k++) {
                uint64_t units = s->buckets[k] ? bucket_expire(s->buckets[k], 0, true) : 0;
                if (units) {
                    add_to_batch(l, &b, s, k, units);
                }
            }
            send_batch(l, &b);
            if (s->slots.reserved) {
                char buffer[LEVEL_KEY_BYTES];
                struct text key = text_on(buffer, sizeof(buffer));
                subject_key(s, NULL, &key);
                const weir_store_hold hold = {text_view(&key), 0, s->slots.limit};
                (void)l->store->reserve(l->host, level_entry_tenant(&s->e), &hold, 1,
                                        weir_str_from(l->id), l->slot_ttl_ms, 0, on_given, NULL);
            }
        }
    }
}

static void on_timer(void *arg)
{
    struct limiter *l = arg;
    uint64_t now_us = limiter_now(l);
    bool more = false;
    atomic_store_explicit(&l->sweep_armed, false, memory_order_release);
    for (unsigned i = 0; i < LEVEL_SHARDS; i++) {
        more |= sweep_shard(l, &l->shards[i], now_us);
    }
    if (more) {
        sweep_arm(l);
    }
}

void sweep_arm(struct limiter *l)
{
    /* Looked at first, so that requests do not write a line that all workers share. */
    if (atomic_load_explicit(&l->sweep_armed, memory_order_relaxed) ||
        atomic_load_explicit(&l->closing, memory_order_relaxed) ||
        atomic_exchange_explicit(&l->sweep_armed, true, memory_order_acq_rel)) {
        return;
    }
    uint64_t id = l->host->timer_start(l->host, SWEEP_MS, 0, on_timer, l);
    atomic_store_explicit(&l->sweep_timer, id, memory_order_relaxed);
    if (id == 0) {
        atomic_store_explicit(&l->sweep_armed, false, memory_order_release);
    }
}
