/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs that wait for a time, under their queue: a binary heap. */
#include <stdlib.h>

#include "core/store/memory_map.h"

static bool is_before(const struct weir_store_entry *a, const struct weir_store_entry *b)
{
    return a->wait.due_us != b->wait.due_us ? a->wait.due_us < b->wait.due_us
                                            : a->wait.order < b->wait.order;
}

static void put(struct weir_store_heap *h, uint32_t at, struct weir_store_entry *e)
{
    h->at[at - 1] = e;
    e->wait.at = at;
}

static void sift_up(struct weir_store_heap *h, struct weir_store_entry *e, uint32_t at)
{
    while (at > 1 && is_before(e, h->at[at / 2 - 1])) {
        put(h, at, h->at[at / 2 - 1]);
        at /= 2;
    }
    put(h, at, e);
}

static void sift_down(struct weir_store_heap *h, struct weir_store_entry *e, uint32_t at)
{
    for (uint32_t child = at * 2; child <= h->n; child = at * 2) {
        if (child < h->n && is_before(h->at[child], h->at[child - 1])) {
            child++;
        }
        if (!is_before(h->at[child - 1], e)) {
            break;
        }
        put(h, at, h->at[child - 1]);
        at = child;
    }
    put(h, at, e);
}

bool weir_store_wait(struct weir_store_shard *s, struct weir_store_entry *parent,
                     struct weir_store_entry *e)
{
    struct weir_store_heap *h = &parent->queue.heap;
    if (e->wait.at) {
        sift_up(h, e, e->wait.at);
        sift_down(h, e, e->wait.at);
        return true;
    }
    if (h->n == h->cap) {
        uint32_t cap = h->cap ? h->cap * 2 : 8;
        if (!weir_store_grow(s, parent, (cap - h->cap) * sizeof(struct weir_store_entry *))) {
            return false;
        }
        struct weir_store_entry **at = realloc(h->at, cap * sizeof(struct weir_store_entry *));
        if (!at) {
            weir_store_shrink(s, parent, (cap - h->cap) * sizeof(struct weir_store_entry *));
            return false;
        }
        h->at = at;
        h->cap = cap;
    }
    e->wait.parent = parent;
    h->n++;
    sift_up(h, e, h->n);
    return true;
}

void weir_store_unwait(struct weir_store_entry *e)
{
    if (e->wait.at == 0) {
        return;
    }
    struct weir_store_heap *h = &e->wait.parent->queue.heap;
    uint32_t at = e->wait.at;
    struct weir_store_entry *last = h->at[h->n - 1];
    h->n--;
    e->wait.at = 0;
    if (last != e) {
        sift_up(h, last, at);
        sift_down(h, last, last->wait.at);
    }
}

struct weir_store_entry *weir_store_first_due(struct weir_store_entry *parent, uint64_t now_us)
{
    const struct weir_store_heap *h = &parent->queue.heap;
    return h->n && h->at[0]->wait.due_us <= now_us ? h->at[0] : NULL;
}
