/* SPDX-License-Identifier: Apache-2.0 */
#include "flights.h"

#include <assert.h>

void flights_init(struct flights *f, const weir_host *host)
{
    *f = (struct flights){.host = host};
    for (int i = 0; i < FLIGHT_SHARDS; i++) {
        (void)pthread_mutex_init(&f->shards[i].lock, NULL);
    }
}

void flights_finish(struct flights *f, void (*drop)(struct flight *left))
{
    for (int i = 0; i < FLIGHT_SHARDS; i++) {
        struct flight_shard *s = &f->shards[i];
        for (int k = 0; k < FLIGHT_CHAINS; k++) {
            while (s->chains[k]) {
                struct flight *left = s->chains[k];
                s->chains[k] = left->next;
                drop(left);
            }
        }
        pthread_mutex_destroy(&s->lock);
    }
}

static struct flight_shard *shard_of(struct flights *f, const uint8_t *digest)
{
    return &f->shards[digest[3] % FLIGHT_SHARDS];
}

static struct flight **find(struct flight_shard *s, const uint8_t *digest)
{
    struct flight **at = &s->chains[digest[4] % FLIGHT_CHAINS];
    while (*at && memcmp((*at)->digest, digest, WEIR_ANSWER_DIGEST_BYTES) != 0) {
        at = &(*at)->next;
    }
    return at;
}

/* Under the lock. */
static void link_waiter(struct flight *to, struct flight_waiter *w, weir_ticket ticket)
{
    *w = (struct flight_waiter){.next = to->waiters, .flight = to, .ticket = ticket};
    if (w->next) {
        w->next->prev = w;
    }
    to->waiters = w;
}

/* Under the lock. */
static void unlink_waiter(struct flight_waiter *w)
{
    *(w->prev ? &w->prev->next : &w->flight->waiters) = w->next;
    if (w->next) {
        w->next->prev = w->prev;
    }
    w->flight = NULL;
}

bool flights_begin(struct flights *f, const uint8_t *digest, struct flight *own)
{
    struct flight_shard *s = shard_of(f, digest);
    pthread_mutex_lock(&s->lock);
    struct flight **at = find(s, digest);
    bool first = !*at || *at == own;
    if (!own->is_in) {
        *own = (struct flight){.digest = digest, .is_in = true};
        while (*at) {
            at = &(*at)->next;
        }
        *at = own;
    }
    pthread_mutex_unlock(&s->lock);
    return first;
}

bool flights_wait(struct flights *f, const struct flight *own, struct flight_waiter *w,
                  weir_ticket ticket)
{
    struct flight_shard *s = shard_of(f, own->digest);
    pthread_mutex_lock(&s->lock);
    struct flight *first = *find(s, own->digest);
    bool waits = first && first != own;
    if (waits) {
        link_waiter(first, w, ticket);
    }
    pthread_mutex_unlock(&s->lock);
    return waits;
}

void flights_end(struct flights *f, struct flight *own)
{
    if (!own->is_in) {
        return;
    }
    struct flight_shard *s = shard_of(f, own->digest);
    pthread_mutex_lock(&s->lock);
    struct flight **at = find(s, own->digest);
    while (*at != own) {
        assert(*at); /* is_in: it is in its chain */
        at = &(*at)->next;
    }
    *at = own->next;
    own->is_in = false;
    while (own->waiters) {
        struct flight_waiter *w = own->waiters;
        weir_ticket ticket = w->ticket;
        assert(w->flight == own);
        unlink_waiter(w); /* from here on it may be gone */
        pthread_mutex_unlock(&s->lock);
        (void)f->host->resume(f->host, ticket, 0, (weir_str){NULL, 0});
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
}

void flights_leave(struct flights *f, const uint8_t *digest, struct flight_waiter *w)
{
    struct flight_shard *s = shard_of(f, digest);
    pthread_mutex_lock(&s->lock);
    if (w->flight) {
        unlink_waiter(w);
    }
    pthread_mutex_unlock(&s->lock);
}
