/* SPDX-License-Identifier: Apache-2.0 */
#include "queue_tenants.h"

#include <stdlib.h>

#include "core/queue/queue.h"

enum { TOKEN_SCALE = 10000 }; /* the greatest weight: even its tokens count */

static void link_last(struct weir_queue_tenant *head, struct weir_queue_tenant *t)
{
    t->next = head;
    t->prev = head->prev;
    head->prev->next = t;
    head->prev = t;
}

static void unlink_tenant(struct weir_queue_tenant *t)
{
    t->prev->next = t->next;
    t->next->prev = t->prev;
    t->next = t->prev = NULL;
}

void weir_queue_tenants_init(struct weir_queue_tenants *ts)
{
    *ts = (struct weir_queue_tenants){.n_idle = 0};
    ts->busy.next = ts->busy.prev = &ts->busy;
    ts->idle.next = ts->idle.prev = &ts->idle;
}

static void free_ring(struct weir_queue_tenant *head)
{
    for (struct weir_queue_tenant *t = head->next, *next; t != head; t = next) {
        next = t->next;
        free(t);
    }
}

void weir_queue_tenants_finish(struct weir_queue_tenants *ts)
{
    free_ring(&ts->busy);
    free_ring(&ts->idle);
}

static struct weir_queue_tenant **bucket_of(struct weir_queue_tenants *ts, uint64_t hash)
{
    return &ts->buckets[hash % WEIR_QUEUE_TENANT_BUCKETS];
}

struct weir_queue_tenant *weir_queue_tenants_find(struct weir_queue_tenants *ts, uint64_t hash)
{
    struct weir_queue_tenant *t = *bucket_of(ts, hash);
    while (t && t->hash != hash) {
        t = t->next_in_bucket;
    }
    return t;
}

/* The longest unused one, out of the table. */
static struct weir_queue_tenant *recycle(struct weir_queue_tenants *ts)
{
    struct weir_queue_tenant *t = ts->idle.next;
    unlink_tenant(t);
    ts->n_idle--;
    struct weir_queue_tenant **at = bucket_of(ts, t->hash);
    while (*at != t) {
        at = &(*at)->next_in_bucket;
    }
    *at = t->next_in_bucket;
    return t;
}

static struct weir_queue_tenant *add(struct weir_queue_tenants *ts, uint64_t hash)
{
    struct weir_queue_tenant *t =
        ts->n_idle >= WEIR_QUEUE_IDLE_TENANTS ? recycle(ts) : malloc(sizeof(*t));
    if (!t) {
        return NULL;
    }
    struct weir_queue_tenant **bucket = bucket_of(ts, hash);
    *t = (struct weir_queue_tenant){.hash = hash, .next_in_bucket = *bucket};
    *bucket = t;
    link_last(&ts->idle, t);
    ts->n_idle++;
    return t;
}

static uint64_t least_served(const struct weir_queue_tenants *ts)
{
    uint64_t least = UINT64_MAX;
    for (const struct weir_queue_tenant *t = ts->busy.next; t != &ts->busy; t = t->next) {
        least = t->served < least ? t->served : least;
    }
    return least == UINT64_MAX ? ts->last_served : least;
}

struct weir_queue_tenant *weir_queue_tenants_join(struct weir_queue_tenants *ts, uint64_t hash,
                                                  uint32_t weight)
{
    struct weir_queue_tenant *t = weir_queue_tenants_find(ts, hash);
    t = t ? t : add(ts, hash);
    if (!t) {
        return NULL;
    }
    if (t->n_entries++ == 0) {
        uint64_t least = least_served(ts);
        t->served = t->served < least ? least : t->served;
        unlink_tenant(t);
        ts->n_idle--;
        link_last(&ts->busy, t);
    } else {
        ts->busy_weight -= t->weight;
    }
    t->weight = weight ? weight : WEIR_QUEUE_USUAL_WEIGHT;
    ts->busy_weight += t->weight;
    return t;
}

void weir_queue_tenants_leave(struct weir_queue_tenants *ts, struct weir_queue_tenant *t)
{
    if (--t->n_entries > 0) {
        return;
    }
    ts->busy_weight -= t->weight;
    unlink_tenant(t);
    if (ts->busy.next == &ts->busy && t->served > ts->last_served) {
        ts->last_served = t->served;
    }
    link_last(&ts->idle, t);
    ts->n_idle++;
    if (ts->n_idle > WEIR_QUEUE_IDLE_TENANTS) {
        free(recycle(ts));
    }
}

void weir_queue_tenant_charge(struct weir_queue_tenant *t, uint64_t tokens)
{
    t->served += tokens * TOKEN_SCALE / t->weight;
}

void weir_queue_tenant_refund(struct weir_queue_tenant *t, uint64_t tokens)
{
    uint64_t cost = tokens * TOKEN_SCALE / t->weight;
    t->served -= cost < t->served ? cost : t->served;
}

uint32_t weir_queue_tenant_waiting(const struct weir_queue_tenant *t, uint32_t class_rank)
{
    uint32_t n = 0;
    for (uint32_t c = 0; c <= class_rank; c++) {
        n += t->n_waiting[c];
    }
    return n;
}
