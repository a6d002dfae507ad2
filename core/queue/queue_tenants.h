/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The tenants of one queue: what each was served, how many of its entries wait, which places it
 * has.
 *
 * Ownership: the table owns them. An entry makes its tenant busy from push() until it is out; an
 * idle tenant is kept for its counter's sake, the longest unused one goes first. Threads: the
 * queue's lock guards everything here. Errors: join() gives NULL without memory. Bounds: as many
 * tenants as there are entries, and WEIR_QUEUE_IDLE_TENANTS more. */
#include "core/queue/queue.h"

enum { WEIR_QUEUE_IDLE_TENANTS = 1024, WEIR_QUEUE_TENANT_BUCKETS = 1024 };

struct weir_queue_tenant {
    struct weir_queue_tenant *next_in_bucket;
    struct weir_queue_tenant *next, *prev; /* in the list of busy or of idle ones */
    uint64_t hash;
    uint64_t served;     /* tokens for its weight */
    uint64_t last_grant; /* number of it; 0: none */
    uint32_t weight;
    uint32_t n_entries;
    uint32_t n_places;
    uint32_t n_waiting[WEIR_CLASS_COUNT]; /* by the class that was asked for */
};

struct weir_queue_tenants {
    struct weir_queue_tenant *buckets[WEIR_QUEUE_TENANT_BUCKETS];
    struct weir_queue_tenant busy, idle; /* heads of rings; idle: longest unused first */
    uint32_t n_idle;
    uint64_t busy_weight; /* sum of weights */
    uint64_t last_served; /* the counter of the last that was busy, when nobody is */
};

void weir_queue_tenants_init(struct weir_queue_tenants *ts);
void weir_queue_tenants_finish(struct weir_queue_tenants *ts);

/* A tenant that comes, or comes back, starts no lower than the least served one that is busy, or
 * the last that was: idleness earns no credit, and having had the model alone is no debt. */
struct weir_queue_tenant *weir_queue_tenants_join(struct weir_queue_tenants *ts, uint64_t hash,
                                                  uint32_t weight);
void weir_queue_tenants_leave(struct weir_queue_tenants *ts, struct weir_queue_tenant *t);
/* NULL: not known. */
struct weir_queue_tenant *weir_queue_tenants_find(struct weir_queue_tenants *ts, uint64_t hash);

void weir_queue_tenant_charge(struct weir_queue_tenant *t, uint64_t tokens);
void weir_queue_tenant_refund(struct weir_queue_tenant *t, uint64_t tokens);
/* Waiting entries of this class and better ones; WEIR_CLASS_COUNT - 1: all. */
uint32_t weir_queue_tenant_waiting(const struct weir_queue_tenant *t, uint32_t class_rank);
