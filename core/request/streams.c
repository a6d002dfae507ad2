/* SPDX-License-Identifier: Apache-2.0 */
#include "streams.h"

#include <pthread.h>
#include <stdlib.h>

#include "weir/types.h"

enum { N_BUCKETS = 256 };

struct node {
    struct node *next;
    uint64_t hash;
    uint32_t n;
};

struct weir_streams {
    pthread_mutex_t lock; /* guards the rest */
    struct node *buckets[N_BUCKETS];
};

int weir_streams_create(struct weir_streams **ret_streams)
{
    struct weir_streams *s = calloc(1, sizeof(*s));
    if (!s) {
        return WEIR_E_NOMEM;
    }
    (void)pthread_mutex_init(&s->lock, NULL);
    *ret_streams = s;
    return 0;
}

void weir_streams_destroy(struct weir_streams *s)
{
    if (!s) {
        return;
    }
    for (int i = 0; i < N_BUCKETS; i++) {
        while (s->buckets[i]) {
            struct node *n = s->buckets[i];
            s->buckets[i] = n->next;
            free(n);
        }
    }
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
}

/* Where the tenant's node hangs, or would. */
static struct node **find(struct weir_streams *s, uint64_t hash)
{
    struct node **at = &s->buckets[hash % N_BUCKETS];
    while (*at && (*at)->hash != hash) {
        at = &(*at)->next;
    }
    return at;
}

static int take(struct weir_streams *s, uint64_t hash, uint32_t limit)
{
    struct node **at = find(s, hash);
    if (*at && (*at)->n >= limit) {
        return WEIR_E_BUSY;
    }
    if (!*at) {
        struct node *n = calloc(1, sizeof(*n));
        if (!n) {
            return WEIR_E_NOMEM;
        }
        n->hash = hash;
        *at = n;
    }
    (*at)->n++;
    return 0;
}

int weir_streams_take(struct weir_streams *s, uint64_t tenant_hash, uint32_t limit)
{
    (void)pthread_mutex_lock(&s->lock);
    int r = take(s, tenant_hash, limit);
    (void)pthread_mutex_unlock(&s->lock);
    return r;
}

void weir_streams_give(struct weir_streams *s, uint64_t tenant_hash)
{
    (void)pthread_mutex_lock(&s->lock);
    struct node **at = find(s, tenant_hash);
    struct node *n = *at;
    if (n && --n->n == 0) {
        *at = n->next;
        free(n);
    }
    (void)pthread_mutex_unlock(&s->lock);
}
