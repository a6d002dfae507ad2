/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tokenizer/merge.h"

#include <stdlib.h>

void weir_merge_init(struct weir_merge *m)
{
    *m = (struct weir_merge){0};
}

void weir_merge_finish(struct weir_merge *m)
{
    free(m->symbols);
    free(m->heap.keys);
    weir_merge_init(m);
}

void weir_merge_restart(struct weir_merge *m)
{
    m->n = 0;
    m->heap.n = 0;
}

int weir_merge_start(struct weir_merge *m, size_t max_symbols)
{
    weir_merge_restart(m);
    if (max_symbols <= m->cap) {
        return 0;
    }
    size_t cap = max_symbols < 256 ? 256 : max_symbols;
    weir_merge_finish(m);
    m->symbols = malloc(cap * sizeof(m->symbols[0]));
    m->heap.keys = malloc(cap * 2 * sizeof(m->heap.keys[0]));
    if (!m->symbols || !m->heap.keys) {
        weir_merge_finish(m);
        return WEIR_E_NOMEM;
    }
    m->cap = cap;
    return 0;
}

void weir_merge_add(struct weir_merge *m, uint32_t id, size_t start, size_t n_bytes)
{
    uint32_t i = (uint32_t)m->n++;
    m->symbols[i] = (struct weir_merge_symbol){
        .id = id,
        .start = (uint32_t)start,
        .n_bytes = (uint32_t)n_bytes,
        .prev = i ? i - 1 : WEIR_MERGE_NONE,
        .next = WEIR_MERGE_NONE,
        .priority = WEIR_MERGE_NONE,
    };
    if (i) {
        m->symbols[i - 1].next = i;
    }
}

/* Ranks symbol i with its next and queues it. */
static void offer(struct weir_merge *m, uint32_t i, weir_merge_rank_fn rank, const void *context)
{
    struct weir_merge_symbol *left = &m->symbols[i];
    left->priority = WEIR_MERGE_NONE;
    if (left->next == WEIR_MERGE_NONE) {
        return;
    }
    rank(context, left, &m->symbols[left->next]);
    if (left->priority != WEIR_MERGE_NONE) {
        weir_key_heap_push(&m->heap, (uint64_t)left->priority << 32 | i);
    }
}

void weir_merge_run(struct weir_merge *m, weir_merge_rank_fn rank, const void *context)
{
    for (size_t i = 0; i + 1 < m->n; i++) {
        offer(m, (uint32_t)i, rank, context);
    }
    /* An entry is stale when its symbol no longer has that priority: it has merged meanwhile. */
    while (m->heap.n > 0) {
        uint64_t key = weir_key_heap_pop(&m->heap);
        uint32_t i = (uint32_t)key;
        struct weir_merge_symbol *left = &m->symbols[i];
        if (left->priority != (uint32_t)(key >> 32)) {
            continue;
        }
        struct weir_merge_symbol *right = &m->symbols[left->next];
        left->id = left->merged_id;
        left->n_bytes += right->n_bytes;
        left->next = right->next;
        right->priority = WEIR_MERGE_NONE;
        if (left->next != WEIR_MERGE_NONE) {
            m->symbols[left->next].prev = i;
        }
        if (left->prev != WEIR_MERGE_NONE) {
            offer(m, left->prev, rank, context);
        }
        offer(m, i, rank, context);
    }
}
