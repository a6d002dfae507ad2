/* SPDX-License-Identifier: Apache-2.0 */
#include "backlog.h"

#include <stddef.h>

#include "settlement.h"

enum { RETRIES_AT_A_TIME = 256 };

void billing_backlog_init(struct billing_backlog *l, uint32_t max)
{
    *l = (struct billing_backlog){.max = max};
    (void)pthread_mutex_init(&l->lock, NULL);
}

uint32_t billing_backlog_finish(struct billing_backlog *l)
{
    uint32_t n = l->n;
    while (l->first) {
        struct settlement *s = l->first;
        l->first = *settlement_next(s);
        settlement_destroy(s);
    }
    l->last = NULL;
    l->n = 0;
    (void)pthread_mutex_destroy(&l->lock);
    return n;
}

/* Under the lock. Relaxed: who reads it asks about now. */
static void count(struct billing_backlog *l)
{
    atomic_store_explicit(&l->n_all, l->n + l->n_retrying, memory_order_relaxed);
}

bool billing_backlog_push(struct billing_backlog *l, struct settlement *s, bool returns)
{
    pthread_mutex_lock(&l->lock);
    if (returns) {
        l->n_retrying--;
        l->last_ok = false;
    }
    bool room = returns || l->n + l->n_retrying < l->max;
    if (room) {
        *settlement_next(s) = NULL;
        *(l->last ? settlement_next(l->last) : &l->first) = s;
        l->last = s;
        l->n++;
    }
    count(l);
    pthread_mutex_unlock(&l->lock);
    return room;
}

void billing_backlog_settled(struct billing_backlog *l)
{
    pthread_mutex_lock(&l->lock);
    l->n_retrying--;
    l->last_ok = true;
    count(l);
    pthread_mutex_unlock(&l->lock);
}

bool billing_backlog_is_full(struct billing_backlog *l)
{
    return billing_backlog_count(l) >= l->max;
}

uint32_t billing_backlog_count(struct billing_backlog *l)
{
    return atomic_load_explicit(&l->n_all, memory_order_relaxed);
}

/* Takes the first `most` out of the list, as a list. */
static struct settlement *take(struct billing_backlog *l, uint32_t most)
{
    struct settlement *taken = l->first, **end = &taken;
    for (; *end && most > 0; most--) {
        end = settlement_next(*end);
        l->n--;
        l->n_retrying++;
    }
    l->first = *end;
    *end = NULL;
    if (!l->first) {
        l->last = NULL;
    }
    return taken;
}

void billing_backlog_drain(struct billing_backlog *l)
{
    pthread_mutex_lock(&l->lock);
    uint32_t most = l->last_ok ? RETRIES_AT_A_TIME : 1;
    most = most > l->n_retrying ? most - l->n_retrying : 0;
    struct settlement *s = take(l, most);
    pthread_mutex_unlock(&l->lock);
    while (s) {
        struct settlement *next = *settlement_next(s);
        *settlement_next(s) = NULL;
        settlement_retry(s);
        s = next;
    }
}
