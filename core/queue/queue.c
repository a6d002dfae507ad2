/* SPDX-License-Identifier: Apache-2.0 */
#include "queue.h"

#include <pthread.h>
#include <stdlib.h>

enum {
    N_TENANTS = 1024,       /* counters kept; the least served one gives way to a new tenant */
    COMPLETION_WEIGHT = 2,  /* a decoded token costs about twice a prefilled one */
    AGING_US = 5 * 1000000, /* waiting this long lifts an entry one class */
    RATE_WINDOW_US = 1000000,
    MIN_RETRY_US = 50 * 1000,
    MAX_RETRY_US = 120 * 1000000 /* clients give up on longer values */
};

struct tenant_counter {
    uint64_t hash; /* 0: unused */
    uint64_t tokens;
};

struct queue_target {
    uint32_t places[WEIR_CLASS_COUNT];
    uint32_t used;
    bool refuses; /* it would not take what was granted; until it changes */
};

struct weir_queue {
    pthread_mutex_t mutex; /* guards everything below */
    struct weir_queue_entry head;
    uint32_t limit, n_waiting, n_running;
    uint32_t n_pinned; /* of those waiting */
    bool closed;
    struct queue_target targets[WEIR_QUEUE_MAX_TARGETS];
    uint64_t next_number;
    struct tenant_counter tenants[N_TENANTS]; /* open addressing */
    uint64_t window_start_us;                 /* of the drain rate */
    uint32_t window_grants;
    double grants_per_s;
    weir_queue_called_fn called;
    void *arg;
};

int weir_queue_create(uint32_t limit, weir_queue_called_fn called, void *arg,
                      struct weir_queue **ret_queue)
{
    if (limit == 0 || limit > WEIR_QUEUE_MAX) {
        return WEIR_E_ARG;
    }
    struct weir_queue *q = calloc(1, sizeof(*q));
    if (!q) {
        return WEIR_E_NOMEM;
    }
    (void)pthread_mutex_init(&q->mutex, NULL);
    q->head.next = q->head.prev = &q->head;
    q->limit = limit;
    q->called = called;
    q->arg = arg;
    *ret_queue = q;
    return 0;
}

void weir_queue_destroy(struct weir_queue *q)
{
    if (!q) {
        return;
    }
    (void)pthread_mutex_destroy(&q->mutex);
    free(q);
}

static struct tenant_counter *find_tenant(struct weir_queue *q, uint64_t hash)
{
    hash |= 1; /* 0 marks an unused place */
    struct tenant_counter *spare = NULL;
    enum { PROBES = 16 };
    for (uint64_t i = 0; i < PROBES; i++) {
        struct tenant_counter *t = &q->tenants[(hash + i) % N_TENANTS];
        if (t->hash == hash) {
            return t;
        }
        if (!spare || t->hash == 0 || (spare->hash != 0 && t->tokens < spare->tokens)) {
            spare = t;
        }
        if (t->hash == 0) {
            break;
        }
    }
    *spare = (struct tenant_counter){.hash = hash};
    return spare;
}

/* A returning tenant starts no lower than the least served one that waits. */
static void lift_counter(struct weir_queue *q, uint64_t hash)
{
    uint64_t least = UINT64_MAX;
    for (struct weir_queue_entry *e = q->head.next; e != &q->head; e = e->next) {
        if (e->tenant_hash == hash) {
            return; /* already among those waiting */
        }
        uint64_t tokens = find_tenant(q, e->tenant_hash)->tokens;
        if (tokens < least) {
            least = tokens;
        }
    }
    struct tenant_counter *t = find_tenant(q, hash);
    if (least != UINT64_MAX && t->tokens < least) {
        t->tokens = least;
    }
}

static uint32_t aged_class(const struct weir_queue_entry *e, uint64_t now_us)
{
    uint64_t waited_us = now_us > e->enqueued_us ? now_us - e->enqueued_us : 0;
    uint64_t lifts = waited_us / AGING_US;
    return lifts >= e->class_rank ? 0 : e->class_rank - (uint32_t)lifts;
}

static bool goes_before(struct weir_queue *q, const struct weir_queue_entry *a,
                        const struct weir_queue_entry *b, uint64_t now_us)
{
    uint32_t class_a = aged_class(a, now_us), class_b = aged_class(b, now_us);
    if (class_a != class_b) {
        return class_a < class_b;
    }
    if (a->tenant_hash != b->tenant_hash) {
        uint64_t served_a = find_tenant(q, a->tenant_hash)->tokens;
        uint64_t served_b = find_tenant(q, b->tenant_hash)->tokens;
        if (served_a != served_b) {
            return served_a < served_b;
        }
    }
    if (a->priority != b->priority) {
        return a->priority < b->priority;
    }
    if (a->deadline_us != b->deadline_us) {
        return a->deadline_us < b->deadline_us;
    }
    return a->number < b->number;
}

static bool has_room(const struct queue_target *t, const struct weir_queue_entry *e,
                     uint64_t now_us)
{
    uint32_t places = t->places[aged_class(e, now_us)];
    /* A request with more choices than there are places runs when it is alone. */
    return places > 0 && !t->refuses && (t->used == 0 || t->used + e->n_places <= places);
}

static struct weir_queue_entry *choose(struct weir_queue *q, uint64_t now_us)
{
    struct weir_queue_entry *best = NULL;
    for (struct weir_queue_entry *e = q->head.next; e != &q->head; e = e->next) {
        if (e->is_pinned && !has_room(&q->targets[e->target], e, now_us)) {
            continue; /* others need not wait for its target */
        }
        if (!best || goes_before(q, e, best, now_us)) {
            best = e;
        }
    }
    return best;
}

/* The target that the entry was prepared for, else the emptiest; NULL when none has room. */
static struct queue_target *find_room(struct weir_queue *q, const struct weir_queue_entry *e,
                                      uint64_t now_us)
{
    if (has_room(&q->targets[e->target], e, now_us)) {
        return &q->targets[e->target];
    }
    if (e->is_pinned) {
        return NULL;
    }
    struct queue_target *best = NULL;
    for (uint32_t i = 0; i < WEIR_QUEUE_MAX_TARGETS; i++) {
        struct queue_target *t = &q->targets[i];
        if (has_room(t, e, now_us) &&
            (!best || (uint64_t)t->used * best->places[0] < (uint64_t)best->used * t->places[0])) {
            best = t;
        }
    }
    return best;
}

/* Only grants to entries that waited count: without waiting, the rate is demand, not drain. */
static void count_grant(struct weir_queue *q, uint64_t now_us)
{
    q->window_grants++;
    uint64_t elapsed_us = now_us - q->window_start_us;
    if (elapsed_us < RATE_WINDOW_US) {
        return;
    }
    double rate = (double)q->window_grants * 1e6 / (double)elapsed_us;
    q->grants_per_s = q->grants_per_s > 0 ? 0.7 * q->grants_per_s + 0.3 * rate : rate;
    q->window_start_us = now_us;
    q->window_grants = 0;
}

static void take_place(struct weir_queue *q, struct queue_target *t, struct weir_queue_entry *e)
{
    e->state = WEIR_QUEUE_GRANTED;
    e->target = (uint32_t)(t - q->targets);
    t->used += e->n_places;
    q->n_running++;
    /* Charge the prompt now, so that a burst of one tenant does not all pass at the old counter. */
    find_tenant(q, e->tenant_hash)->tokens += e->prompt_tokens;
}

static struct queue_target *leave_place(struct weir_queue *q, struct weir_queue_entry *e)
{
    struct queue_target *t = &q->targets[e->target];
    t->used -= e->n_places;
    q->n_running--;
    e->state = WEIR_QUEUE_OUT;
    return t;
}

static void link_entry(struct weir_queue *q, struct weir_queue_entry *e)
{
    e->state = WEIR_QUEUE_WAITING;
    e->next = &q->head;
    e->prev = q->head.prev;
    q->head.prev->next = e;
    q->head.prev = e;
    q->n_waiting++;
    q->n_pinned += e->is_pinned;
}

static void unlink_entry(struct weir_queue *q, struct weir_queue_entry *e)
{
    e->prev->next = e->next;
    e->next->prev = e->prev;
    e->next = e->prev = NULL;
    q->n_waiting--;
    q->n_pinned -= e->is_pinned;
}

/* Grants one waiting entry, if there is room: NULL otherwise. */
static struct weir_queue_entry *grant_next(struct weir_queue *q, uint64_t now_us)
{
    struct weir_queue_entry *e = choose(q, now_us);
    struct queue_target *t = e ? find_room(q, e, now_us) : NULL;
    if (!t) {
        return NULL;
    }
    unlink_entry(q, e);
    take_place(q, t, e);
    count_grant(q, now_us);
    return e;
}

static void grant_all(struct weir_queue *q, uint64_t now_us)
{
    for (;;) {
        (void)pthread_mutex_lock(&q->mutex);
        struct weir_queue_entry *e = grant_next(q, now_us);
        (void)pthread_mutex_unlock(&q->mutex);
        if (!e) {
            return;
        }
        q->called(q->arg, e);
    }
}

void weir_queue_set_places(struct weir_queue *q, uint32_t target,
                           const uint32_t places[WEIR_CLASS_COUNT], uint64_t now_us)
{
    (void)pthread_mutex_lock(&q->mutex);
    struct queue_target *t = &q->targets[target];
    for (uint32_t i = 0; i < WEIR_CLASS_COUNT; i++) {
        t->places[i] = places[i];
    }
    t->refuses = false;
    (void)pthread_mutex_unlock(&q->mutex);
    grant_all(q, now_us);
}

/* One who waits in a closed queue, taken out; NULL when none is left. */
static struct weir_queue_entry *send_away_next(struct weir_queue *q)
{
    struct weir_queue_entry *e = q->head.next;
    if (!q->closed || e == &q->head) {
        return NULL;
    }
    unlink_entry(q, e);
    e->state = WEIR_QUEUE_OUT;
    return e;
}

static void send_away_all(struct weir_queue *q)
{
    for (;;) {
        (void)pthread_mutex_lock(&q->mutex);
        struct weir_queue_entry *e = send_away_next(q);
        (void)pthread_mutex_unlock(&q->mutex);
        if (!e) {
            return;
        }
        q->called(q->arg, e);
    }
}

void weir_queue_set_open(struct weir_queue *q, bool open)
{
    (void)pthread_mutex_lock(&q->mutex);
    q->closed = !open;
    (void)pthread_mutex_unlock(&q->mutex);
    send_away_all(q);
}

static uint64_t predict_wait_us(const struct weir_queue *q)
{
    if (q->grants_per_s <= 0) {
        return q->n_waiting ? (uint64_t)q->n_waiting * 100000u : 0; /* nothing measured yet */
    }
    return (uint64_t)((double)(q->n_waiting + 1) / q->grants_per_s * 1e6);
}

static uint64_t clamp_retry_us(uint64_t us)
{
    return us < MIN_RETRY_US ? MIN_RETRY_US : us > MAX_RETRY_US ? MAX_RETRY_US : us;
}

int weir_queue_push(struct weir_queue *q, struct weir_queue_entry *entry, uint64_t now_us,
                    uint64_t *ret_retry_after_us)
{
    (void)pthread_mutex_lock(&q->mutex);
    if (q->closed) {
        (void)pthread_mutex_unlock(&q->mutex);
        return WEIR_E_GONE;
    }
    entry->enqueued_us = now_us;
    entry->number = q->next_number++;
    bool waits_behind = q->n_waiting > q->n_pinned;
    struct queue_target *t = waits_behind ? NULL : find_room(q, entry, now_us);
    if (t) {
        take_place(q, t, entry);
        (void)pthread_mutex_unlock(&q->mutex);
        q->called(q->arg, entry);
        return 0;
    }
    uint64_t wait_us = predict_wait_us(q);
    /* With nobody waiting the rate is old news, and refusing would keep it so. */
    bool too_slow = q->n_waiting > 0 && q->grants_per_s > 0 && entry->deadline_us != UINT64_MAX &&
                    now_us + wait_us > entry->deadline_us;
    if (q->n_waiting >= q->limit || too_slow) {
        (void)pthread_mutex_unlock(&q->mutex);
        *ret_retry_after_us = clamp_retry_us(wait_us);
        return WEIR_E_BUSY;
    }
    if (q->n_waiting == 0) {
        q->window_start_us = now_us;
        q->window_grants = 0;
    }
    lift_counter(q, entry->tenant_hash);
    link_entry(q, entry);
    (void)pthread_mutex_unlock(&q->mutex);
    return 0;
}

bool weir_queue_remove(struct weir_queue *q, struct weir_queue_entry *entry)
{
    (void)pthread_mutex_lock(&q->mutex);
    bool waiting = entry->state == WEIR_QUEUE_WAITING;
    if (waiting) {
        unlink_entry(q, entry);
        entry->state = WEIR_QUEUE_OUT;
    }
    (void)pthread_mutex_unlock(&q->mutex);
    return waiting;
}

void weir_queue_put_back(struct weir_queue *q, struct weir_queue_entry *entry, uint64_t now_us)
{
    (void)pthread_mutex_lock(&q->mutex);
    leave_place(q, entry)->refuses = true;
    struct tenant_counter *served = find_tenant(q, entry->tenant_hash);
    served->tokens -= entry->prompt_tokens < served->tokens ? entry->prompt_tokens : served->tokens;
    link_entry(q, entry); /* its number and its age say where it was */
    (void)pthread_mutex_unlock(&q->mutex);
    send_away_all(q);
    grant_all(q, now_us);
}

void weir_queue_release(struct weir_queue *q, struct weir_queue_entry *entry, uint64_t now_us)
{
    (void)pthread_mutex_lock(&q->mutex);
    if (entry->state == WEIR_QUEUE_GRANTED) {
        leave_place(q, entry)->refuses = false;
    }
    (void)pthread_mutex_unlock(&q->mutex);
    grant_all(q, now_us);
}

void weir_queue_charge(struct weir_queue *q, uint64_t tenant_hash, uint64_t prompt_tokens,
                       uint64_t completion_tokens)
{
    (void)pthread_mutex_lock(&q->mutex);
    find_tenant(q, tenant_hash)->tokens += prompt_tokens + COMPLETION_WEIGHT * completion_tokens;
    (void)pthread_mutex_unlock(&q->mutex);
}

uint64_t weir_queue_wait_us(struct weir_queue *q)
{
    (void)pthread_mutex_lock(&q->mutex);
    uint64_t wait_us = predict_wait_us(q);
    (void)pthread_mutex_unlock(&q->mutex);
    return clamp_retry_us(wait_us);
}

uint32_t weir_queue_used(struct weir_queue *q, uint32_t target)
{
    (void)pthread_mutex_lock(&q->mutex);
    uint32_t used = q->targets[target].used;
    (void)pthread_mutex_unlock(&q->mutex);
    return used;
}

void weir_queue_stats(struct weir_queue *q, struct weir_queue_stats *ret_stats)
{
    (void)pthread_mutex_lock(&q->mutex);
    *ret_stats = (struct weir_queue_stats){
        .waiting = q->n_waiting,
        .running = q->n_running,
        .grants_per_s = q->grants_per_s,
    };
    for (uint32_t i = 0; i < WEIR_QUEUE_MAX_TARGETS; i++) {
        ret_stats->places_used += q->targets[i].used;
        for (uint32_t c = 0; c < WEIR_CLASS_COUNT; c++) {
            ret_stats->places[c] += q->targets[i].places[c];
        }
    }
    (void)pthread_mutex_unlock(&q->mutex);
}
