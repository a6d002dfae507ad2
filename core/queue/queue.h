/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The bounded queue in front of one model: who runs next, and on which of its targets.
 *
 * Why: a target has so many places; everything above waits here, in a fair order, or is refused at
 * once with an honest Retry-After. Nothing is dropped silently.
 * Places: each target states how many sequences it takes, by class; the queue alone counts which of
 * them are taken, from the grant to the release. So what is granted always finds its place, however
 * late the target's own figures are. Worse classes get fewer places, so that a better one finds
 * room beside them; waiting lifts an entry here, too.
 * Order: class (critical_api, interactive_ui, batch), then the tenant with the smallest virtual
 * token counter, then priority, then the earliest deadline, then arrival. Waiting AGING_US lifts
 * the first of a class by one, so that batch work is never starved. The counter is the VTC of
 * "Fairness in Serving Large Language Models" (Sheng et al., OSDI 2024): tokens served by weight,
 * prompt tokens counted once and completion tokens twice. Shares: a tenant that holds fewer places
 * than its weight gives it, among those that want any, need not wait for the others to end: targets
 * may state extra places for such tenants. A tenant's own waiting entries are bounded, and the
 * predicted wait is its own: what others have heaped up delays it by its turn only. Choosing scans
 * the entries: with the bounds in use (hundreds) that is below a microsecond. Ownership: entries
 * are embedded in requests; the queue only links them. Threads: all functions [any-thread], one
 * mutex; `called` runs on the calling thread, after the mutex is released. Overflow: push() refuses
 * with WEIR_E_BUSY when `limit` entries wait or when the predicted wait is longer than the entry's
 * timeout, with WEIR_E_TOOBIG when the tenant has max_waiting of them, and with WEIR_E_GONE while
 * the queue is closed: no target can run anything, so nobody is left to wait in vain. */
#include <stdatomic.h>
#include <stdbool.h>

#include "base/error.h"

enum { WEIR_QUEUE_MAX = 65536, WEIR_QUEUE_MAX_TARGETS = 64, WEIR_CLASS_COUNT = 3 };
enum { WEIR_QUEUE_USUAL_WEIGHT = 100, WEIR_QUEUE_MAX_WEIGHT = 10000 };

struct weir_queue;
struct weir_queue_tenant;

enum weir_queue_state {
    WEIR_QUEUE_OUT = 0, /* not in the queue and without a place */
    WEIR_QUEUE_WAITING = 1,
    WEIR_QUEUE_GRANTED = 2, /* holds a place until release() */
};

struct weir_queue_entry {
    struct weir_queue_entry *next, *prev;
    enum weir_queue_state state;
    uint32_t class_rank; /* 0 critical_api, 1 interactive_ui, 2 batch */
    int32_t priority;
    uint32_t n_places; /* sequences that it needs: choices */
    uint32_t prompt_tokens;
    uint64_t completion_tokens; /* what it was served beyond the prompt; set before release() */
    uint32_t target;   /* preferred, since prepared for it; granted: the one whose places it has */
    bool is_pinned;    /* `target` and no other; while it is full, others pass */
    uint64_t excluded; /* bits of targets that it must not run on; others pass it, too */
    uint64_t tenant_hash;
    uint32_t tenant_weight; /* 0: WEIR_QUEUE_USUAL_WEIGHT */
    uint32_t max_waiting;   /* entries of this tenant that may wait; 0: no bound of its own */
    struct weir_queue_tenant *tenant; /* the queue's; NULL while OUT */
    uint64_t enqueued_us;
    uint64_t deadline_us; /* absolute; UINT64_MAX: none */
    uint64_t number;      /* arrival order */
};

/* An entry's wait is over: GRANTED, or OUT because the queue was closed. */
typedef void (*weir_queue_called_fn)(void *arg, struct weir_queue_entry *entry);

struct weir_queue_stats {
    uint32_t waiting, running; /* entries */
    uint32_t waiting_by_class[WEIR_CLASS_COUNT], limit;
    uint32_t places_used;
    uint32_t places[WEIR_CLASS_COUNT]; /* of all targets */
    double grants_per_s;               /* drain rate, moving average */
};

/* What a request would meet that came now. */
struct weir_queue_outlook {
    uint64_t wait_us;        /* for this tenant */
    uint64_t class_wait_us;  /* behind all who wait, of this class and better ones */
    uint64_t retry_after_us; /* for this tenant, when it is sent away */
    double fill;             /* waiting entries of `limit` */
    bool below_share;        /* there are others, the tenant has fewer places than its share among
                                them, and nothing of it waits */
};

int weir_queue_create(uint32_t limit, weir_queue_called_fn called, void *arg,
                      struct weir_queue **ret_queue);
void weir_queue_destroy(struct weir_queue *q);

/* What a target takes now, by class rank: a class gets places while fewer than that many are taken,
 * and tenants below their share up to `extra` more. Zeros: it cannot run. More may grant waiting
 * entries. */
void weir_queue_set_places(struct weir_queue *q, uint32_t target,
                           const uint32_t places[WEIR_CLASS_COUNT], uint32_t extra,
                           uint64_t now_us);
/* Closed, it calls all who wait and takes nobody in. A new queue is open. */
void weir_queue_set_open(struct weir_queue *q, bool open);

/* 1: granted at once, as a place is free and nobody is passed by that. 0: it waits; the grant is
 * reported through `called`, maybe before this returns. WEIR_E_BUSY, WEIR_E_TOOBIG: refused;
 * *ret_retry_after_us says when to come again. WEIR_E_GONE, WEIR_E_NOMEM. */
int weir_queue_push(struct weir_queue *q, struct weir_queue_entry *entry, uint64_t now_us,
                    uint64_t *ret_retry_after_us);
/* Grants at once as push() would, or does not take it: false. `called` is not called. */
bool weir_queue_try(struct weir_queue *q, struct weir_queue_entry *entry, uint64_t now_us);
/* Takes a waiting entry out (client gone, timeout). False when it had been granted already. */
bool weir_queue_remove(struct weir_queue *q, struct weir_queue_entry *entry);
/* The target would not take a granted entry after all: it gives its places back and waits on where
 * it was. The target is left alone until it changes (set_places) or something leaves it (release).
 */
void weir_queue_put_back(struct weir_queue *q, struct weir_queue_entry *entry, uint64_t now_us);
/* Gives the places of a granted entry back, charges its tenant with the completion tokens and
 * grants the next ones. */
void weir_queue_release(struct weir_queue *q, struct weir_queue_entry *entry, uint64_t now_us);
void weir_queue_look(struct weir_queue *q, uint64_t tenant_hash, uint32_t tenant_weight,
                     uint32_t class_rank, struct weir_queue_outlook *ret_outlook);
/* Places of one target that are taken; without the lock. */
uint32_t weir_queue_used(struct weir_queue *q, uint32_t target);
/* The same of all, as long as the queue lives. */
const _Atomic uint32_t *weir_queue_loads(const struct weir_queue *q);
void weir_queue_stats(struct weir_queue *q, struct weir_queue_stats *ret_stats);
