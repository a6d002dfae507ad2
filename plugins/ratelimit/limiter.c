/* SPDX-License-Identifier: Apache-2.0 */
#include "limiter.h"

#include <stdlib.h>

uint64_t limiter_now(const struct limiter *l)
{
    return l->host->now_us(l->host);
}

uint64_t limiter_turn(const struct limiter *l)
{
    return l->direct ? weir_host_turn_us(l->host) : limiter_now(l);
}

int limiter_init(struct limiter *l)
{
    int rc = level_table_init(&l->table, &subject_type);
    l->shards = rc == 0 ? calloc(LEVEL_SHARDS, sizeof(*l->shards)) : NULL;
    for (unsigned i = 0; l->shards && i < LEVEL_SHARDS; i++) {
        l->shards[i].entries = &l->table.shards[i];
    }
    return l->shards ? 0 : WEIR_E_NOMEM;
}

void limiter_finish(struct limiter *l)
{
    atomic_store_explicit(&l->closing, true, memory_order_relaxed);
    for (unsigned i = 0; l->shards && i < LEVEL_SHARDS; i++) {
        struct shard *sh = &l->shards[i];
        sweep_last(l, sh);
        while (sh->spare) {
            struct fetch *f = sh->spare;
            sh->spare = f->next_spare;
            free(f);
        }
    }
    level_table_finish(&l->table);
    free(l->shards);
    l->shards = NULL;
    rules_finish(&l->config);
}

void limiter_look(const struct shard *sh, struct admission *a, uint64_t now_us)
{
    const struct bucket *tightest[RESOURCE__COUNT] = {NULL};
    for (uint32_t i = 0; i < a->n; i++) {
        const struct held *h = &a->held[i];
        unsigned bits = h->s->e.shard == sh->entries ? h->need & ((1u << SUBJECT_SLOT) - 1) : 0;
        for (; bits; bits &= bits - 1) {
            unsigned item = (unsigned)__builtin_ctz(bits);
            const struct bucket *b = h->s->buckets[item];
            struct limit_view *v = &a->view[item / PERIOD__COUNT];
            uint64_t remaining = bucket_remaining(b, now_us);
            if (!v->is_there || remaining < v->remaining) {
                v->is_there = true;
                v->remaining = remaining;
                tightest[item / PERIOD__COUNT] = b;
            }
        }
    }
    for (unsigned i = 0; i < RESOURCE__COUNT; i++) {
        if (tightest[i]) {
            a->view[i].reset_us = bucket_reset_us(tightest[i], now_us);
            a->view[i].text = tightest[i]->text;
        }
    }
}

uint64_t limiter_retry_us(struct limiter *l, const struct admission *a)
{
    enum { SLOT_RETRY_US = 1000000 }; /* nobody knows when a running request will end */
    if (!a->by || a->by_item == SUBJECT_SLOT) {
        return SLOT_RETRY_US;
    }
    struct shard *sh = limiter_shard(l, a->by);
    pthread_mutex_lock(&sh->entries->lock);
    uint64_t us = bucket_retry_us(a->by->buckets[a->by_item], subject_need(a->by_item, a->tokens),
                                  limiter_now(l));
    pthread_mutex_unlock(&sh->entries->lock);
    return us;
}
