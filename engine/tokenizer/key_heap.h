/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Binary min-heap of 64-bit keys in caller's storage.
 * Threads: none. Errors: none; the caller reserves room for every push. */
#include <stddef.h>
#include <stdint.h>

struct weir_key_heap {
    uint64_t *keys;
    size_t n;
};

static inline void weir_key_heap_push(struct weir_key_heap *h, uint64_t key)
{
    size_t at = h->n++;
    while (at > 0 && h->keys[(at - 1) / 2] > key) {
        h->keys[at] = h->keys[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    h->keys[at] = key;
}

/* n > 0 */
static inline uint64_t weir_key_heap_pop(struct weir_key_heap *h)
{
    uint64_t least = h->keys[0];
    uint64_t moved = h->keys[--h->n];
    size_t at = 0;
    for (size_t child = 1; child < h->n; child = 2 * at + 1) {
        if (child + 1 < h->n && h->keys[child + 1] < h->keys[child]) {
            child++;
        }
        if (h->keys[child] >= moved) {
            break;
        }
        h->keys[at] = h->keys[child];
        at = child;
    }
    h->keys[at] = moved;
    return least;
}
