/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of a store that is in this process. */
#include "limiter.h"

/* Limits to take from, or to give back to, in one call. */
struct group {
    uint32_t n;
    struct bucket *buckets[WEIR_STORE_MAX_LEVELS];
    struct {
        struct held *held;
        unsigned item;
    } of[WEIR_STORE_MAX_LEVELS]; /* of take */
    uint64_t units[WEIR_STORE_MAX_LEVELS];
    weir_store_limit_state *limits[WEIR_STORE_MAX_LEVELS];
    int64_t left[WEIR_STORE_MAX_LEVELS];
};

/* A changed limit is another one. */
static bool is_at_hand(const struct bucket *b)
{
    return b->at_hand && b->opened_us == b->changed_us;
}

static void close_bucket(const struct limiter *l, struct bucket *b)
{
    if (b->at_hand) {
        l->store->limit_close(l->host, b->at_hand);
        b->at_hand = NULL;
    }
}

void direct_close(struct subject *s)
{
    for (unsigned i = 0; i < LIMIT_MAX_RATES; i++) {
        if (s->buckets[i]) {
            close_bucket(s->limiter, s->buckets[i]);
        }
    }
}

static bool open_bucket(struct limiter *l, struct subject *s, struct bucket *b)
{
    char buffer[LEVEL_KEY_BYTES];
    struct text key = text_on(buffer, sizeof(buffer));
    subject_key(s, &b->rate, &key);
    const weir_store_limit limit = {.key = text_view(&key),
                                    .limit = b->rate.limit,
                                    .period_us = b->rate.period_us,
                                    .burst = b->depth};
    close_bucket(l, b);
    s->limiter = l;
    b->opened_us = b->changed_us;
    return l->store->limit_open(l->host, level_entry_tenant(&s->e), &limit, &b->at_hand) == 0;
}

static bool add(struct limiter *l, struct group *g, struct subject *s, struct bucket *b,
                uint64_t units)
{
    if (g->n == WEIR_STORE_MAX_LEVELS || (!is_at_hand(b) && !open_bucket(l, s, b))) {
        return false;
    }
    g->buckets[g->n] = b;
    g->units[g->n] = units;
    g->limits[g->n++] = b->at_hand;
    return true;
}

/* Everything that is lacking in the shard but places. */
static bool collect(struct limiter *l, struct shard *sh, struct admission *a, struct group *g)
{
    const unsigned rates = (1u << SUBJECT_SLOT) - 1;
    g->n = 0;
    for (uint32_t i = 0; i < a->n; i++) {
        struct held *h = &a->held[i];
        unsigned bits = h->s->e.shard == sh->entries ? h->need & ~(unsigned)h->has & rates : 0;
        for (; bits; bits &= bits - 1) {
            unsigned item = (unsigned)__builtin_ctz(bits);
            struct bucket *b = h->s->buckets[item];
            int64_t lacks = (int64_t)subject_need(item, a->tokens) - b->balance; /* and owed */
            if (!add(l, g, h->s, b, lacks > 0 ? (uint64_t)lacks : 0)) {
                return false;
            }
            g->of[g->n - 1].held = h;
            g->of[g->n - 1].item = item;
        }
    }
    return true;
}

/* Spends what was taken for the request itself. Who was counted among those that wait is left to
 * limiter_acquire(). */
static void spend(const struct group *g, uint32_t i, uint64_t tokens, uint64_t now_us)
{
    struct held *h = g->of[i].held;
    struct bucket *b = g->buckets[i];
    unsigned bit = 1u << g->of[i].item;
    if (h->counted & bit) {
        bucket_credit(b, g->units[i], now_us);
        return;
    }
    b->balance += (int64_t)g->units[i] - (int64_t)subject_need(g->of[i].item, tokens);
    h->has |= (uint16_t)bit;
}

bool direct_take(struct limiter *l, struct shard *sh, struct admission *a, uint64_t now_us)
{
    struct group g;
    if (!collect(l, sh, a, &g)) {
        return false;
    }
    if (g.n == 0) {
        return limiter_acquire(sh, a, now_us, false);
    }
    int rc = l->store->limit_take(l->host, g.limits, g.units, g.n, g.left);
    if (rc < 0 && rc != WEIR_E_BUSY && rc != WEIR_E_TOOBIG) {
        limiter_lost(l, rc);
        return false;
    }
    limiter_found(l);
    for (uint32_t i = 0; i < g.n; i++) {
        if (rc == 0) {
            spend(&g, i, a->tokens, now_us);
        }
        bucket_saw(g.buckets[i], g.left[i], now_us);
    }
    a->rounds += rc < 0; /* then what it said is news: is_short() may believe it */
    return limiter_acquire(sh, a, now_us, true);
}

bool direct_give(struct limiter *l, struct shard *sh, const struct admission *a)
{
    struct group g;
    bool all = true;
    g.n = 0;
    for (uint32_t i = 0; i < a->n; i++) {
        struct subject *s = a->held[i].s;
        unsigned made = s->e.shard == sh->entries ? s->made : 0;
        for (; made; made &= made - 1) {
            struct bucket *b = s->buckets[__builtin_ctz(made)];
            uint64_t units = b->balance > 0 ? (uint64_t)b->balance : 0;
            if (units && is_at_hand(b) && add(l, &g, s, b, units)) {
                b->balance = 0;
            } else if (units) {
                all = false;
            }
        }
        if (s->slots.reserved && s->e.shard == sh->entries) {
            sweep_mark(sh, s);
        }
    }
    if (g.n) {
        (void)l->store->limit_give(l->host, g.limits, g.units, g.n);
    }
    return all;
}
