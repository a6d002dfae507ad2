/* SPDX-License-Identifier: Apache-2.0 */
#include "queue.h"

#include <pthread.h>
#include <stdlib.h>

#include "core/queue/queue_tenants.h"

enum {
    COMPLETION_WEIGHT = 2,  /* a decoded token costs about twice a prefilled one */
    AGING_US = 5 * 1000000, /* waiting this long lifts an entry one class */
    RATE_WINDOW_US = 1000000,
    MIN_RETRY_US = 50 * 1000,
    MAX_RETRY_US = 120 * 1000000 /* clients give up on longer values */
};

struct queue_target {
    uint32_t places[WEIR_CLASS_COUNT];
    uint32_t extra; /* beyond places, for tenants below their share */
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
    uint32_t n_targets;                             /* known so far: loops end there */
    _Atomic uint32_t loads[WEIR_QUEUE_MAX_TARGETS]; /* `used` of each, for who holds no lock */
    uint64_t next_number, n_grants;
    struct weir_queue_tenants tenants;
    uint64_t window_start_us; /* of the drain rate */
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
    weir_queue_tenants_init(&q->tenants);
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
    weir_queue_tenants_finish(&q->tenants);
    (void)pthread_mutex_destroy(&q->mutex);
    free(q);
}

static uint32_t aged_class(const struct weir_queue_entry *e, uint64_t now_us)
{
    uint64_t waited_us = now_us > e->enqueued_us ? now_us - e->enqueued_us : 0;
    uint64_t lifts = waited_us / AGING_US;
    return lifts >= e->class_rank ? 0 : e->class_rank - (uint32_t)lifts;
}

/* Among entries of one class. Age does not count here: who heaps up entries would else pass others
 * by their age. */
static bool goes_before(const struct weir_queue_entry *a, const struct weir_queue_entry *b)
{
    if (a->tenant->served != b->tenant->served) {
        return a->tenant->served < b->tenant->served;
    }
    if (a->tenant->last_grant != b->tenant->last_grant) {
        return a->tenant->last_grant < b->tenant->last_grant;
    }
    if (a->priority != b->priority) {
        return a->priority < b->priority;
    }
    if (a->deadline_us != b->deadline_us) {
        return a->deadline_us < b->deadline_us;
    }
    return a->number < b->number;
}

/* Runs on some of the targets only; where these are full, others pass. */
static bool is_choosy(const struct weir_queue_entry *e)
{
    return e->is_pinned || e->excluded;
}

static bool is_excluded(const struct weir_queue_entry *e, uint32_t target)
{
    return (e->excluded >> target & 1) != 0;
}

static bool has_room(const struct queue_target *t, const struct weir_queue_entry *e, uint32_t extra,
                     uint64_t now_us)
{
    uint32_t places = t->places[aged_class(e, now_us)];
    /* A request with more choices than there are places runs when it is alone. */
    return places > 0 && !t->refuses && (t->used == 0 || t->used + e->n_places <= places + extra);
}

/* The target that the entry was prepared for, else the emptiest; NULL when none has room. */
static struct queue_target *find_room(struct weir_queue *q, const struct weir_queue_entry *e,
                                      bool with_extra, uint64_t now_us)
{
    struct queue_target *wanted = &q->targets[e->target];
    if (!is_excluded(e, e->target) && has_room(wanted, e, with_extra ? wanted->extra : 0, now_us)) {
        return wanted;
    }
    if (e->is_pinned) {
        return NULL;
    }
    struct queue_target *best = NULL;
    for (uint32_t i = 0; i < q->n_targets; i++) {
        struct queue_target *t = &q->targets[i];
        if (!is_excluded(e, i) && has_room(t, e, with_extra ? t->extra : 0, now_us) &&
            (!best || (uint64_t)t->used * best->places[0] < (uint64_t)best->used * t->places[0])) {
            best = t;
        }
    }
    return best;
}

/* Places of all targets that are the tenant's by its weight, among those that want any; at least
 * one. `joining`: it is not among them yet. */
static uint64_t fair_places(const struct weir_queue *q, uint32_t class_rank, uint32_t weight,
                            bool joining)
{
    uint64_t places = 0;
    for (uint32_t i = 0; i < q->n_targets; i++) {
        places += q->targets[i].places[class_rank];
    }
    uint64_t weights = q->tenants.busy_weight + (joining ? weight : 0);
    uint64_t fair = weights ? places * weight / weights : places;
    return fair > 0 ? fair : 1;
}

static bool is_below_share(const struct weir_queue *q, const struct weir_queue_entry *e)
{
    const struct weir_queue_tenant *t = e->tenant;
    return t->n_places + e->n_places <= fair_places(q, e->class_rank, t->weight, false);
}

/* The next in turn: the first of each class, then of these the one of the best class, lifted by
 * what it has waited. With only_below_share among the tenants that are below theirs. */
static struct weir_queue_entry *choose(struct weir_queue *q, bool only_below_share, uint64_t now_us)
{
    struct weir_queue_entry *first[WEIR_CLASS_COUNT] = {NULL};
    for (struct weir_queue_entry *e = q->head.next; e != &q->head; e = e->next) {
        struct weir_queue_entry **of_class = &first[e->class_rank];
        if (is_choosy(e) && !find_room(q, e, only_below_share, now_us)) {
            continue; /* others need not wait for its target */
        }
        if ((!*of_class || goes_before(e, *of_class)) &&
            (!only_below_share || is_below_share(q, e))) {
            *of_class = e;
        }
    }
    struct weir_queue_entry *best = NULL;
    for (uint32_t c = 0; c < WEIR_CLASS_COUNT; c++) {
        struct weir_queue_entry *e = first[c];
        uint32_t aged = e ? aged_class(e, now_us) : 0;
        uint32_t best_aged = best ? aged_class(best, now_us) : 0;
        if (e && (!best || aged < best_aged || (aged == best_aged && goes_before(e, best)))) {
            best = e;
        }
    }
    return best;
}

/* Only grants to entries that waited count: without waiting, the rate is demand, not drain. */
static void count_grant(struct weir_queue *q, uint64_t now_us)
{
    q->window_grants++;
    uint64_t elapsed_us = now_us > q->window_start_us ? now_us - q->window_start_us : 0;
    if (elapsed_us < RATE_WINDOW_US) {
        return;
    }
    double rate = (double)q->window_grants * 1e6 / (double)elapsed_us;
    q->grants_per_s = q->grants_per_s > 0 ? 0.7 * q->grants_per_s + 0.3 * rate : rate;
    q->window_start_us = now_us;
    q->window_grants = 0;
}

static void set_used(struct weir_queue *q, struct queue_target *t, uint32_t used)
{
    t->used = used;
    atomic_store_explicit(&q->loads[t - q->targets], used, memory_order_relaxed);
}

static void take_place(struct weir_queue *q, struct queue_target *t, struct weir_queue_entry *e)
{
    e->state = WEIR_QUEUE_GRANTED;
    e->target = (uint32_t)(t - q->targets);
    set_used(q, t, t->used + e->n_places);
    q->n_running++;
    e->tenant->n_places += e->n_places;
    e->tenant->last_grant = ++q->n_grants;
    /* Charge the prompt now, so that a burst of one tenant does not all pass at the old counter. */
    weir_queue_tenant_charge(e->tenant, e->prompt_tokens);
}

/* The entry keeps its tenant. */
static struct queue_target *leave_place(struct weir_queue *q, struct weir_queue_entry *e)
{
    struct queue_target *t = &q->targets[e->target];
    set_used(q, t, t->used - e->n_places);
    q->n_running--;
    e->tenant->n_places -= e->n_places;
    return t;
}

static void leave_tenant(struct weir_queue *q, struct weir_queue_entry *e)
{
    e->state = WEIR_QUEUE_OUT;
    weir_queue_tenants_leave(&q->tenants, e->tenant);
    e->tenant = NULL;
}

static void link_entry(struct weir_queue *q, struct weir_queue_entry *e)
{
    e->state = WEIR_QUEUE_WAITING;
    e->next = &q->head;
    e->prev = q->head.prev;
    q->head.prev->next = e;
    q->head.prev = e;
    q->n_waiting++;
    e->tenant->n_waiting[e->class_rank]++;
    q->n_pinned += is_choosy(e);
}

static void unlink_entry(struct weir_queue *q, struct weir_queue_entry *e)
{
    e->prev->next = e->next;
    e->next->prev = e->prev;
    e->next = e->prev = NULL;
    q->n_waiting--;
    e->tenant->n_waiting[e->class_rank]--;
    q->n_pinned -= is_choosy(e);
}

/* Of those that have entries; NULL: that was the last. */
static const struct weir_queue_tenant *next_busy(const struct weir_queue *q,
                                                 const struct weir_queue_tenant *t)
{
    return t->next == &q->tenants.busy ? NULL : t->next;
}

static const struct weir_queue_tenant *first_busy(const struct weir_queue *q)
{
    return next_busy(q, &q->tenants.busy);
}

static bool has_several_tenants(const struct weir_queue *q)
{
    return q->tenants.busy.next != q->tenants.busy.prev;
}

/* Grants one waiting entry, if there is room: NULL otherwise. When the next in turn has none, a
 * tenant below its share still finds some beside the others. */
static struct weir_queue_entry *grant_next(struct weir_queue *q, uint64_t now_us)
{
    struct weir_queue_entry *e = choose(q, false, now_us);
    struct queue_target *t = e ? find_room(q, e, false, now_us) : NULL;
    if (!t && has_several_tenants(q)) {
        e = choose(q, true, now_us);
        t = e ? find_room(q, e, true, now_us) : NULL;
    }
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
                           const uint32_t places[WEIR_CLASS_COUNT], uint32_t extra, uint64_t now_us)
{
    (void)pthread_mutex_lock(&q->mutex);
    struct queue_target *t = &q->targets[target];
    q->n_targets = target >= q->n_targets ? target + 1 : q->n_targets;
    for (uint32_t i = 0; i < WEIR_CLASS_COUNT; i++) {
        t->places[i] = places[i];
    }
    t->extra = extra;
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
    leave_tenant(q, e);
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

/* Entries that are served before one more of this tenant and class: its own, and of each other
 * tenant as many as its weight gives it meanwhile. Aging is left out. */
static uint64_t count_ahead(const struct weir_queue *q, const struct weir_queue_tenant *t,
                            uint32_t weight, uint32_t class_rank)
{
    uint64_t own = t ? weir_queue_tenant_waiting(t, class_rank) : 0;
    uint64_t ahead = own;
    for (const struct weir_queue_tenant *o = first_busy(q); o; o = next_busy(q, o)) {
        if (o != t) {
            uint64_t n = weir_queue_tenant_waiting(o, class_rank);
            uint64_t most = ((own + 1) * o->weight + weight - 1) / weight;
            ahead += n < most ? n : most;
        }
    }
    return ahead;
}

static uint64_t wait_of(const struct weir_queue *q, uint64_t n_ahead)
{
    if (q->grants_per_s <= 0) {
        return q->n_waiting ? n_ahead * 100000u : 0; /* nothing measured yet */
    }
    return (uint64_t)((double)(n_ahead + 1) / q->grants_per_s * 1e6);
}

static uint64_t clamp_retry_us(uint64_t us)
{
    return us < MIN_RETRY_US ? MIN_RETRY_US : us > MAX_RETRY_US ? MAX_RETRY_US : us;
}

/* 0, or why the entry may not wait. */
static int check_wait(const struct weir_queue *q, const struct weir_queue_entry *e,
                      uint64_t wait_us, uint64_t now_us)
{
    uint32_t own = weir_queue_tenant_waiting(e->tenant, WEIR_CLASS_COUNT - 1);
    if (e->max_waiting > 0 && own >= e->max_waiting) {
        return WEIR_E_TOOBIG;
    }
    /* With nobody waiting the rate is old news, and refusing would keep it so. */
    bool too_slow = q->n_waiting > 0 && q->grants_per_s > 0 && e->deadline_us != UINT64_MAX &&
                    now_us + wait_us > e->deadline_us;
    return q->n_waiting >= q->limit || too_slow ? WEIR_E_BUSY : 0;
}

/* Room for a newcomer, which passes those who wait only where they cannot go. */
static struct queue_target *find_room_at_once(struct weir_queue *q,
                                              const struct weir_queue_entry *e, uint64_t now_us)
{
    bool waits_behind =
        q->n_waiting > q->n_pinned; /* those who wait for one target alone are passed */
    struct queue_target *t = waits_behind ? NULL : find_room(q, e, false, now_us);
    return t || !is_below_share(q, e) ? t : find_room(q, e, true, now_us);
}

static int push(struct weir_queue *q, struct weir_queue_entry *e, uint64_t now_us,
                uint64_t *ret_retry_after_us)
{
    if (q->closed) {
        return WEIR_E_GONE;
    }
    e->tenant = weir_queue_tenants_join(&q->tenants, e->tenant_hash, e->tenant_weight);
    if (!e->tenant) {
        return WEIR_E_NOMEM;
    }
    e->enqueued_us = now_us;
    e->number = q->next_number++;
    struct queue_target *t = find_room_at_once(q, e, now_us);
    if (t) {
        take_place(q, t, e);
        return 1;
    }
    uint64_t wait_us = wait_of(q, count_ahead(q, e->tenant, e->tenant->weight, e->class_rank));
    int r = check_wait(q, e, wait_us, now_us);
    if (r < 0) {
        *ret_retry_after_us = clamp_retry_us(wait_us);
        leave_tenant(q, e);
        return r;
    }
    if (q->n_waiting == 0) {
        q->window_start_us = now_us;
        q->window_grants = 0;
    }
    link_entry(q, e);
    return 0;
}

int weir_queue_push(struct weir_queue *q, struct weir_queue_entry *entry, uint64_t now_us,
                    uint64_t *ret_retry_after_us)
{
    (void)pthread_mutex_lock(&q->mutex);
    int r = push(q, entry, now_us, ret_retry_after_us);
    (void)pthread_mutex_unlock(&q->mutex);
    return r;
}

bool weir_queue_try(struct weir_queue *q, struct weir_queue_entry *entry, uint64_t now_us)
{
    struct queue_target *t = NULL;
    (void)pthread_mutex_lock(&q->mutex);
    entry->tenant =
        q->closed ? NULL
                  : weir_queue_tenants_join(&q->tenants, entry->tenant_hash, entry->tenant_weight);
    if (entry->tenant) {
        entry->enqueued_us = now_us;
        t = find_room_at_once(q, entry, now_us);
        if (t) {
            take_place(q, t, entry);
        } else {
            leave_tenant(q, entry);
        }
    }
    (void)pthread_mutex_unlock(&q->mutex);
    return t != NULL;
}

bool weir_queue_remove(struct weir_queue *q, struct weir_queue_entry *entry)
{
    (void)pthread_mutex_lock(&q->mutex);
    bool waiting = entry->state == WEIR_QUEUE_WAITING;
    if (waiting) {
        unlink_entry(q, entry);
        leave_tenant(q, entry);
    }
    (void)pthread_mutex_unlock(&q->mutex);
    return waiting;
}

void weir_queue_put_back(struct weir_queue *q, struct weir_queue_entry *entry, uint64_t now_us)
{
    (void)pthread_mutex_lock(&q->mutex);
    leave_place(q, entry)->refuses = true;
    weir_queue_tenant_refund(entry->tenant, entry->prompt_tokens);
    link_entry(q, entry); /* its number and its age say where it was */
    (void)pthread_mutex_unlock(&q->mutex);
    send_away_all(q);
    grant_all(q, now_us);
}

void weir_queue_release(struct weir_queue *q, struct weir_queue_entry *entry, uint64_t now_us)
{
    (void)pthread_mutex_lock(&q->mutex);
    if (entry->state == WEIR_QUEUE_GRANTED) {
        weir_queue_tenant_charge(entry->tenant, COMPLETION_WEIGHT * entry->completion_tokens);
        leave_place(q, entry)->refuses = false;
        leave_tenant(q, entry);
    }
    bool is_awaited = q->n_waiting > 0;
    (void)pthread_mutex_unlock(&q->mutex);
    if (is_awaited) {
        grant_all(q, now_us);
    }
}

static bool any_place_is_free(const struct weir_queue *q, uint32_t class_rank)
{
    for (uint32_t i = 0; i < q->n_targets; i++) {
        const struct queue_target *t = &q->targets[i];
        if (!t->refuses && t->used < t->places[class_rank]) {
            return true;
        }
    }
    return false;
}

static bool has_others(const struct weir_queue *q, const struct weir_queue_tenant *t)
{
    const struct weir_queue_tenant *first = first_busy(q);
    return first && (first != t || next_busy(q, first));
}

void weir_queue_look(struct weir_queue *q, uint64_t tenant_hash, uint32_t tenant_weight,
                     uint32_t class_rank, struct weir_queue_outlook *ret_outlook)
{
    uint32_t weight = tenant_weight ? tenant_weight : WEIR_QUEUE_USUAL_WEIGHT;
    (void)pthread_mutex_lock(&q->mutex);
    const struct weir_queue_tenant *t = weir_queue_tenants_find(&q->tenants, tenant_hash);
    bool joining = !t || t->n_entries == 0;
    uint32_t n_places = t ? t->n_places : 0;
    uint64_t n_of_all = 0;
    for (const struct weir_queue_tenant *o = first_busy(q); o; o = next_busy(q, o)) {
        n_of_all += weir_queue_tenant_waiting(o, class_rank);
    }
    bool goes_at_once = q->n_waiting == 0 && any_place_is_free(q, class_rank);
    *ret_outlook = (struct weir_queue_outlook){
        .wait_us = goes_at_once ? 0 : wait_of(q, count_ahead(q, t, weight, class_rank)),
        .class_wait_us = goes_at_once ? 0 : wait_of(q, n_of_all),
        .retry_after_us = clamp_retry_us(wait_of(q, count_ahead(q, t, weight, class_rank))),
        .fill = (double)q->n_waiting / q->limit,
        .below_share = has_others(q, t) && n_places < fair_places(q, class_rank, weight, joining) &&
                       (!t || weir_queue_tenant_waiting(t, WEIR_CLASS_COUNT - 1) == 0),
    };
    (void)pthread_mutex_unlock(&q->mutex);
}

uint32_t weir_queue_used(struct weir_queue *q, uint32_t target)
{
    return atomic_load_explicit(&q->loads[target], memory_order_relaxed);
}

const _Atomic uint32_t *weir_queue_loads(const struct weir_queue *q)
{
    return q->loads;
}

void weir_queue_stats(struct weir_queue *q, struct weir_queue_stats *ret_stats)
{
    (void)pthread_mutex_lock(&q->mutex);
    *ret_stats = (struct weir_queue_stats){
        .waiting = q->n_waiting,
        .running = q->n_running,
        .limit = q->limit,
        .grants_per_s = q->grants_per_s,
    };
    for (const struct weir_queue_tenant *t = q->tenants.busy.next; t != &q->tenants.busy;
         t = t->next) {
        for (uint32_t c = 0; c < WEIR_CLASS_COUNT; c++) {
            ret_stats->waiting_by_class[c] += t->n_waiting[c];
        }
    }
    for (uint32_t i = 0; i < q->n_targets; i++) {
        ret_stats->places_used += q->targets[i].used;
        for (uint32_t c = 0; c < WEIR_CLASS_COUNT; c++) {
            ret_stats->places[c] += q->targets[i].places[c];
        }
    }
    (void)pthread_mutex_unlock(&q->mutex);
}
