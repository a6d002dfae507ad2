/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The bounded queue in front of one model: who runs next.
 *
 * Why: a target has so many places; everything above waits here, in a fair order, or is refused at
 * once with an honest Retry-After. Nothing is dropped silently.
 * Order: class (critical_api, interactive_ui, batch), then the tenant with the smallest virtual token
 * counter, then priority, then the earliest deadline, then arrival. A class that has waited
 * AGING_US for a lower-class entry lifts that entry one class, so that batch work is never starved.
 * The counter is the VTC of "Fairness in Serving Large Language Models" (Sheng et al., OSDI 2024):
 * tokens served, prompt tokens counted once and completion tokens twice; a tenant that comes back
 * starts at the smallest counter among those waiting, so that idleness earns no credit.
 * Choosing scans the entries: with the bounds in use (hundreds) that is below a microsecond.
 * Ownership: entries are embedded in requests; the queue only links them.
 * Threads: all functions [any-thread], one mutex; `granted` runs on the calling thread, after the
 * mutex is released.
 * Overflow: push() refuses with WEIR_E_BUSY when `limit` entries wait or when the predicted wait is
 * longer than the entry's timeout. */
#include <stdbool.h>

#include "base/error.h"

enum { WEIR_QUEUE_MAX = 65536, WEIR_CLASS_COUNT = 3 };

struct weir_queue;

enum weir_queue_state {
    WEIR_QUEUE_OUT = 0,     /* not in the queue and without a place */
    WEIR_QUEUE_WAITING = 1,
    WEIR_QUEUE_GRANTED = 2, /* holds a place until release() */
};

struct weir_queue_entry {
    struct weir_queue_entry *next, *prev;
    enum weir_queue_state state;
    uint32_t class_rank; /* 0 critical_api, 1 interactive_ui, 2 batch */
    int32_t priority;
    uint32_t n_places;       /* sequences that it needs: choices */
    uint32_t prompt_tokens;
    uint64_t tenant_hash;
    uint64_t enqueued_us;
    uint64_t deadline_us; /* absolute; UINT64_MAX: none */
    uint64_t number;      /* arrival order */
};

typedef void (*weir_queue_granted_fn)(void *arg, struct weir_queue_entry *entry);

struct weir_queue_stats {
    uint32_t waiting, places_used, places;
    uint64_t oldest_enqueued_us; /* 0: none waits */
    double grants_per_s;         /* drain rate, moving average */
};

int weir_queue_create(uint32_t limit, weir_queue_granted_fn granted, void *arg,
                      struct weir_queue **ret_queue);
void weir_queue_destroy(struct weir_queue *q);

/* How many sequences the target runs at a time; more places may grant waiting entries. */
void weir_queue_set_places(struct weir_queue *q, uint32_t places, uint64_t now_us);

/* Grants at once when a place is free and nobody waits, else enqueues. Both are reported through
 * `granted`. WEIR_E_BUSY: refused; *ret_retry_after_us says when to come again. */
int weir_queue_push(struct weir_queue *q, struct weir_queue_entry *entry, uint64_t now_us,
                    uint64_t *ret_retry_after_us);
/* Takes a waiting entry out (client gone, timeout). False when it had been granted already. */
bool weir_queue_remove(struct weir_queue *q, struct weir_queue_entry *entry);
/* Gives the places of a granted entry back and grants the next ones. */
void weir_queue_release(struct weir_queue *q, struct weir_queue_entry *entry, uint64_t now_us);
/* Counts tokens that a tenant was served. */
void weir_queue_charge(struct weir_queue *q, uint64_t tenant_hash, uint64_t prompt_tokens,
                       uint64_t completion_tokens);
/* When a request that comes now would be granted, from the drain rate. */
uint64_t weir_queue_wait_us(struct weir_queue *q);
void weir_queue_stats(struct weir_queue *q, struct weir_queue_stats *ret_stats);
