/* SPDX-License-Identifier: Apache-2.0 */
#include "pieces.h"

#include <stdint.h>
#include <stdlib.h>

#include "heap.h"

enum { STEP_BYTES = 64, N_SIZES = 32, MOST_KEPT = 64 };

struct piece {
    struct piece *next;
};

struct kept {
    struct piece *first[N_SIZES];
    uint32_t n[N_SIZES];
};

/* NULL: it keeps nothing. The model: reading it is no call. */
static _Thread_local struct kept *own __attribute__((tls_model("initial-exec")));

/* N_SIZES: none. */
static inline size_t size_of(size_t n_bytes)
{
    size_t size = n_bytes ? (n_bytes - 1) / STEP_BYTES : 0;
    return size < N_SIZES ? size : N_SIZES;
}

void weir_pieces_begin(void)
{
    if (!WEIR_HEAP_IS_SANITIZED && !own) {
        own = calloc(1, sizeof(*own));
    }
}

void weir_pieces_end(void)
{
    for (size_t i = 0; own && i < N_SIZES; i++) {
        while (own->first[i]) {
            struct piece *p = own->first[i];
            own->first[i] = p->next;
            free(p);
        }
    }
    free(own);
    own = NULL;
}

void *weir_pieces_take(size_t n_bytes)
{
    size_t size = size_of(n_bytes);
    if (!own || size == N_SIZES) {
        return malloc(size == N_SIZES || WEIR_HEAP_IS_SANITIZED ? n_bytes
                                                                : (size + 1) * STEP_BYTES);
    }
    struct piece *p = own->first[size];
    if (!p) {
        return malloc((size + 1) * STEP_BYTES);
    }
    own->first[size] = p->next;
    own->n[size]--;
    return p;
}

void weir_pieces_give(void *piece, size_t n_bytes)
{
    size_t size = size_of(n_bytes);
    if (!piece || !own || size == N_SIZES || own->n[size] == MOST_KEPT) {
        free(piece);
        return;
    }
    struct piece *p = piece;
    p->next = own->first[size];
    own->first[size] = p;
    own->n[size]++;
}
