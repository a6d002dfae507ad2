/* SPDX-License-Identifier: Apache-2.0 */
#include "limiter.h"

enum {
    MAX_ROUNDS = 16,   /* calls that one request may wait for */
    SUSPEND_MS = 2000, /* the store answers long before */
    KNOWN_US = 50000,  /* how long an answer of a shared store is believed */
};

/* ---- taking ---- */

static bool take_slot(struct slots *s, uint64_t now_us)
{
    if (s->running >= s->reserved || now_us >= s->expires_us) {
        return false;
    }
    s->running++;
    return true;
}

static void count(struct held *h, unsigned item, uint64_t tokens)
{
    if (h->counted & 1u << item) {
        return;
    }
    h->counted |= (uint16_t)(1u << item);
    if (item == SUBJECT_SLOT) {
        h->s->slots.wanted++;
    } else {
        h->s->buckets[item]->wanted += subject_need(item, tokens);
    }
}

static void uncount(struct held *h, unsigned item, uint64_t tokens)
{
    if (!(h->counted & 1u << item)) {
        return;
    }
    h->counted &= (uint16_t) ~(1u << item);
    if (item == SUBJECT_SLOT) {
        h->s->slots.wanted--;
    } else {
        h->s->buckets[item]->wanted -= subject_need(item, tokens);
    }
}

static bool take_item(struct held *h, unsigned item, uint64_t tokens, uint64_t now_us, bool fresh)
{
    if (item == SUBJECT_SLOT) {
        if (!take_slot(&h->s->slots, now_us)) {
            return false;
        }
    } else {
        struct bucket *b = h->s->buckets[item];
        uint64_t need = subject_need(item, tokens);
        if (!bucket_spend(b, need, now_us, fresh)) {
            return false;
        }
        bucket_note(b, need, now_us);
    }
    h->has |= (uint16_t)(1u << item);
    uncount(h, item, tokens);
    return true;
}

bool limiter_acquire(struct shard *sh, struct admission *a, uint64_t now_us, bool fresh)
{
    bool whole = true;
    for (uint32_t i = 0; i < a->n; i++) {
        struct held *h = &a->held[i];
        if (h->s->e.shard != sh->entries) {
            continue;
        }
        for (unsigned lacks = h->need & ~(unsigned)h->has; lacks; lacks &= lacks - 1) {
            whole &= take_item(h, (unsigned)__builtin_ctz(lacks), a->tokens, now_us, fresh);
        }
    }
    return whole;
}

/* ---- what is lacking ---- */

static bool is_never(const struct held *h, unsigned item, uint64_t tokens)
{
    return item < SUBJECT_SLOT && subject_need(item, tokens) > h->s->buckets[item]->depth;
}

static bool is_short(const struct limiter *l, const struct held *h, unsigned item,
                     const struct admission *a, uint64_t now_us)
{
    /* Without replicas the store is asked each time, and only its answer counts. */
    if (!l->shared && a->rounds == 0) {
        return false;
    }
    uint64_t since_us = now_us > KNOWN_US ? now_us - KNOWN_US : 0;
    if (item == SUBJECT_SLOT) {
        const struct slots *s = &h->s->slots;
        return s->left_at_us && s->left_at_us >= since_us && s->left < 1 &&
               s->running >= s->reserved;
    }
    const struct bucket *b = h->s->buckets[item];
    return b->left_at_us && b->left_at_us >= since_us &&
           bucket_is_short(b, subject_need(item, a->tokens), now_us);
}

/* One lacking limit after the other, of the subjects in a shard. */
struct cursor {
    uint32_t i;
    unsigned bits;
    bool begun;
};

static struct held *next_lacking(const struct shard *sh, struct admission *a, struct cursor *c,
                                 unsigned *ret_item)
{
    for (; c->i < a->n; c->i++, c->begun = false) {
        struct held *h = &a->held[c->i];
        if (h->s->e.shard != sh->entries) {
            continue;
        }
        if (!c->begun) {
            c->bits = h->need & ~(unsigned)h->has;
            c->begun = true;
        }
        if (c->bits) {
            *ret_item = (unsigned)__builtin_ctz(c->bits);
            c->bits &= c->bits - 1;
            return h;
        }
    }
    return NULL;
}

static void blame(struct admission *a, struct subject *s, unsigned item)
{
    a->by = s;
    a->by_item = item;
    if (item == SUBJECT_SLOT) {
        a->by_depth = s->slots.limit;
    } else {
        a->by_rate = s->buckets[item]->rate;
        a->by_depth = s->buckets[item]->depth;
    }
}

static enum admit find_refusal(struct limiter *l, struct shard *sh, struct admission *a,
                               uint64_t now_us)
{
    struct cursor c = {0};
    unsigned item = 0;
    struct held *h;
    while ((h = next_lacking(sh, a, &c, &item)) != NULL) {
        bool never = is_never(h, item, a->tokens);
        if (never || is_short(l, h, item, a, now_us)) {
            blame(a, h->s, item);
            return never ? ADMIT_NEVER : ADMIT_REFUSED;
        }
    }
    return ADMIT_PASS;
}

/* ---- waiting ---- */

static void link_admission(struct fetch *f, struct admission *a)
{
    a->fetch = f;
    a->shard = f->shard;
    a->next = NULL;
    a->prev = f->last_waiting;
    *(a->prev ? &a->prev->next : &f->waiting) = a;
    f->last_waiting = a;
}

void limiter_unlink(struct admission *a)
{
    struct fetch *f = a->fetch;
    *(a->prev ? &a->prev->next : &f->waiting) = a->next;
    *(a->next ? &a->next->prev : &f->last_waiting) = a->prev;
    a->fetch = NULL;
    a->ticket = 0;
}

/* The request goes on, or ends, whether or not its call was answered. */
static void stop_waiting(struct admission *a)
{
    struct shard *sh = a->shard;
    if (!sh) {
        return;
    }
    pthread_mutex_lock(&sh->entries->lock);
    if (a->fetch) {
        limiter_unlink(a);
    }
    pthread_mutex_unlock(&sh->entries->lock);
    a->shard = NULL;
}

/* Waits for the call that a->fetch is linked to. [locked] */
static enum admit suspend(struct limiter *l, struct admission *a)
{
    a->ticket = l->host->suspend(l->host, a->req, SUSPEND_MS);
    if (a->ticket) {
        return ADMIT_WAIT;
    }
    limiter_unlink(a);
    return ADMIT_BROKEN;
}

static uint64_t ask_slots(const struct limiter *l, const struct slots *s, uint64_t now_us)
{
    /* Nobody else wants them, but an instance that takes over from this one. */
    uint64_t more = l->direct ? s->running : 0;
    uint64_t n = (uint64_t)s->running + s->wanted + more;
    if (s->left_at_us && now_us - s->left_at_us < KNOWN_US) {
        uint64_t most = s->reserved + (s->left > 0 ? (uint64_t)s->left : 0);
        n = n < most ? n : most;
    }
    n = n < s->limit ? n : s->limit;
    return n > s->running ? n : (uint64_t)s->running + 1;
}

static struct fetch *build_fetch(struct limiter *l, struct shard *sh, struct admission *a,
                                 uint64_t now_us)
{
    struct cursor c = {0};
    unsigned item = 0;
    struct held *h;
    bool slots = true;
    while ((h = next_lacking(sh, a, &c, &item)) != NULL) {
        count(h, item, a->tokens);
        slots = slots && item == SUBJECT_SLOT; /* rates first, then places */
    }
    struct fetch *f = fetch_new(l, sh, slots);
    c = (struct cursor){0};
    while (f && f->n < WEIR_STORE_MAX_LEVELS && (h = next_lacking(sh, a, &c, &item)) != NULL) {
        if (slots) {
            fetch_add(f, h->s, item, ask_slots(l, &h->s->slots, now_us));
        } else if (item != SUBJECT_SLOT) {
            fetch_add(f, h->s, item,
                      bucket_ask(h->s->buckets[item], subject_need(item, a->tokens), now_us));
        }
    }
    return f;
}

static struct fetch *find_fetch(struct shard *sh, struct admission *a)
{
    struct cursor c = {0};
    unsigned item = 0;
    struct held *h;
    while ((h = next_lacking(sh, a, &c, &item)) != NULL) {
        if (h->s->fetching[item]) {
            return h->s->fetching[item];
        }
    }
    return NULL;
}

/* ---- without the store ---- */

/* Is the store lost? Now and then one request is told no, and tries it. */
static bool is_lost(struct limiter *l, uint64_t now_us)
{
    enum { PROBE_US = 200000 };
    uint64_t until = atomic_load_explicit(&l->lost_until_us, memory_order_relaxed);
    if (until == 0) {
        return false;
    }
    return now_us < until ||
           !atomic_compare_exchange_strong_explicit(&l->lost_until_us, &until, now_us + PROBE_US,
                                                    memory_order_relaxed, memory_order_relaxed);
}

static bool take_local(struct limiter *l, struct held *h, unsigned item, uint64_t tokens,
                       uint64_t now_us)
{
    if (l->on_loss == ON_LOSS_ALLOW) {
        return true;
    }
    if (item == SUBJECT_SLOT) {
        struct slots *s = &h->s->slots;
        bool room = s->running + s->local < s->limit / l->replicas;
        s->local += room;
        return room;
    }
    return bucket_spend_local(h->s->buckets[item], subject_need(item, tokens), now_us, l->replicas);
}

static enum admit decide_alone(struct limiter *l, struct shard *sh, struct admission *a,
                               uint64_t now_us)
{
    struct cursor c = {0};
    unsigned item = 0;
    struct held *h;
    a->lost = true;
    while ((h = next_lacking(sh, a, &c, &item)) != NULL) {
        uncount(h, item, a->tokens);
        blame(a, h->s, item);
        if (l->on_loss == ON_LOSS_DENY) {
            return ADMIT_LOST;
        }
        if (!take_local(l, h, item, a->tokens, now_us)) {
            return ADMIT_REFUSED;
        }
        h->has |= (uint16_t)(1u << item);
        h->local |= (uint16_t)(1u << item);
    }
    return ADMIT_PASS;
}

/* ---- one group ---- */

enum step { STEP_DONE, STEP_AGAIN };

/* One try for the subjects of a shard. *ret holds with STEP_DONE. [locked, but not while a call is
 * sent] */
static enum step try_shard(struct limiter *l, struct shard *sh, struct admission *a,
                           uint64_t now_us, enum admit *ret)
{
    *ret = ADMIT_PASS;
    if (l->direct ? direct_take(l, sh, a, now_us) : limiter_acquire(sh, a, now_us, false)) {
        return STEP_DONE;
    }
    *ret = find_refusal(l, sh, a, now_us);
    if (*ret == ADMIT_PASS && is_lost(l, now_us)) {
        *ret = decide_alone(l, sh, a, now_us);
        return STEP_DONE;
    }
    if (*ret == ADMIT_PASS && ++a->rounds > MAX_ROUNDS) {
        struct cursor c = {0};
        unsigned item = 0;
        const struct held *h = next_lacking(sh, a, &c, &item);
        blame(a, h->s, item);
        *ret = ADMIT_REFUSED; /* others were faster each time */
    }
    if (*ret != ADMIT_PASS) {
        return STEP_DONE;
    }
    struct fetch *f = find_fetch(sh, a);
    if (f) {
        struct cursor c = {0};
        unsigned item = 0;
        struct held *h;
        while ((h = next_lacking(sh, a, &c, &item)) != NULL) {
            count(h, item, a->tokens);
        }
        link_admission(f, a);
        *ret = suspend(l, a);
        return STEP_DONE;
    }
    f = build_fetch(l, sh, a, now_us);
    if (!f) {
        *ret = ADMIT_BROKEN;
        return STEP_DONE;
    }
    link_admission(f, a);
    pthread_mutex_unlock(&sh->entries->lock);
    fetch_send(f, now_us);
    pthread_mutex_lock(&sh->entries->lock);
    if (!a->fetch) {
        a->shard = NULL;
        return STEP_AGAIN; /* answered at once */
    }
    *ret = suspend(l, a);
    return STEP_DONE;
}

/* ---- giving back ---- */

static void release_item(struct limiter *l, struct shard *sh, struct held *h, unsigned item,
                         const struct admission *a, uint64_t units, uint64_t now_us)
{
    bool local = h->local & 1u << item;
    if (item == SUBJECT_SLOT) {
        struct slots *s = &h->s->slots;
        if (!local) {
            s->running--;
        } else if (l->on_loss == ON_LOSS_LOCAL) {
            s->local--;
        }
    } else if (!local) {
        bucket_refund(h->s->buckets[item], units, a->taken_us ? a->taken_us : now_us, now_us);
    }
    if (l->shared) {
        sweep_mark(sh, h->s);
    }
}

/* Limits of requests: those that ran are used up. */
static const unsigned requests = ((1u << PERIOD__COUNT) - 1) << RESOURCE_REQUESTS * PERIOD__COUNT;

/* Is there nothing to give back in a shard, and nobody who may go? Then it need not be locked. */
static bool is_used_up(const struct shard *sh, const struct admission *a, bool refused)
{
    bool all = !refused;
    for (uint32_t i = 0; i < a->n && all; i++) {
        const struct held *h = &a->held[i];
        all = h->s->e.shard != sh->entries ||
              (subject_stays(h->s) && !h->counted && !(h->has & ~requests));
    }
    return all;
}

/* Everything that the admission has in a shard. `refused`: requests too, else only places and the
 * tokens that were not used. */
static void release_shard(struct limiter *l, struct shard *sh, struct admission *a, bool refused,
                          uint64_t used, uint64_t now_us)
{
    for (uint32_t i = 0; i < a->n; i++) {
        struct held *h = &a->held[i];
        if (h->s->e.shard != sh->entries) {
            continue;
        }
        for (unsigned bits = h->counted; bits; bits &= bits - 1) {
            uncount(h, (unsigned)__builtin_ctz(bits), a->tokens);
        }
        for (unsigned bits = h->has & (refused ? ~0u : ~requests); bits; bits &= bits - 1) {
            unsigned item = (unsigned)__builtin_ctz(bits);
            uint64_t need = subject_need(item, a->tokens);
            if (refused || item == SUBJECT_SLOT) {
                release_item(l, sh, h, item, a, need, now_us);
            } else if (used < need) {
                release_item(l, sh, h, item, a, need - used, now_us);
            } else if (used > need && !(h->local & 1u << item)) {
                bucket_owe(h->s->buckets[item], used - need);
            }
        }
        h->has = h->local = 0;
    }
}

/* Those of a shard may go. [locked] */
static void unpin(const struct shard *sh, const struct admission *a)
{
    for (uint32_t i = 0; i < a->n; i++) {
        struct subject *s = a->held[i].s;
        s->e.pins -= s->e.shard == sh->entries && !subject_stays(s);
    }
}

/* is_over: its subjects may go, too. */
static void release(struct limiter *l, struct admission *a, bool refused, uint64_t used,
                    bool is_over, uint64_t now_us)
{
    struct shard *last = NULL;
    bool arm = l->shared;
    for (uint32_t i = 0; i < a->n; i++) {
        struct shard *sh = limiter_shard(l, a->held[i].s);
        if (sh == last) {
            continue;
        }
        last = sh;
        if (is_used_up(sh, a, refused)) {
            continue;
        }
        pthread_mutex_lock(&sh->entries->lock);
        release_shard(l, sh, a, refused, used, now_us);
        bool is_given = l->direct && direct_give(l, sh, a);
        arm = arm || sh->dirty;
        if (!l->shared && !is_given) {
            sweep_now(l, sh, a, now_us);
            pthread_mutex_lock(&sh->entries->lock);
        }
        if (is_over) {
            unpin(sh, a);
        }
        pthread_mutex_unlock(&sh->entries->lock);
    }
    if (arm) {
        sweep_arm(l);
    }
}

static void add_one(atomic_uint_least64_t *counter)
{
    (void)atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static void forget_views(struct admission *a)
{
    for (int i = 0; i < RESOURCE__COUNT; i++) {
        a->view[i].is_there = false;
    }
}

/* At everything, with what was given back. */
static void look_again(struct limiter *l, struct admission *a, uint64_t now_us)
{
    const struct shard *last = NULL;
    forget_views(a);
    for (uint32_t i = 0; i < a->n; i++) {
        struct shard *sh = limiter_shard(l, a->held[i].s);
        if (sh != last) {
            last = sh;
            pthread_mutex_lock(&sh->entries->lock);
            limiter_look(sh, a, now_us);
            pthread_mutex_unlock(&sh->entries->lock);
        }
    }
}

static enum admit pass(struct limiter *l, struct admission *a, uint64_t now_us)
{
    a->admitted = true;
    a->taken_us = now_us;
    add_one(&l->counters.allowed);
    if (a->lost) {
        add_one(l->on_loss == ON_LOSS_ALLOW ? &l->counters.unlimited : &l->counters.local);
    }
    return ADMIT_PASS;
}

enum admit limiter_admit(struct limiter *l, struct admission *a, uint64_t now_us)
{
    struct shard *last = NULL;
    enum admit result = ADMIT_PASS;
    if (a->taken) {
        return pass(l, a, now_us);
    }
    stop_waiting(a);
    forget_views(a);
    for (uint32_t i = 0; i < a->n && result == ADMIT_PASS; i++) {
        struct shard *sh = limiter_shard(l, a->held[i].s);
        if (sh == last) {
            continue;
        }
        last = sh;
        pthread_mutex_lock(&sh->entries->lock);
        while (try_shard(l, sh, a, now_us, &result) == STEP_AGAIN) {
        }
        if (result == ADMIT_PASS) {
            limiter_look(sh, a, now_us);
        }
        pthread_mutex_unlock(&sh->entries->lock);
    }
    if (result == ADMIT_WAIT) {
        return result;
    }
    if (result == ADMIT_PASS) {
        return pass(l, a, now_us);
    }
    if (a->by) {
        add_one(&l->counters.decisions[a->by->e.level][result]);
    }
    release(l, a, true, 0, false, now_us);
    look_again(l, a, now_us);
    return result;
}

void limiter_end(struct limiter *l, struct admission *a, uint64_t tokens_used)
{
    if (a->n == 0) {
        return;
    }
    stop_waiting(a);
    release(l, a, !a->admitted, tokens_used, true, limiter_turn(l));
    a->n = 0;
}
