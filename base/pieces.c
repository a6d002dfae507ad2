/* SPDX-License-Identifier: Apache-2.0 */
#include "pieces.h"

#include <stdlib.h>

#include "heap.h"

enum { STEP_BYTES = 64, MOST_KEPT = 64 };

struct weir_piece {
    struct weir_piece *next;
};

/* WEIR_PIECES_SIZES: none. */
static inline size_t size_of(size_t n_bytes)
{
    size_t size = n_bytes ? (n_bytes - 1) / STEP_BYTES : 0;
    return size < WEIR_PIECES_SIZES && !WEIR_HEAP_IS_SANITIZED ? size : WEIR_PIECES_SIZES;
}

void weir_pieces_finish(struct weir_pieces *kept)
{
    for (size_t i = 0; i < WEIR_PIECES_SIZES; i++) {
        while (kept->first[i]) {
            struct weir_piece *p = kept->first[i];
            kept->first[i] = p->next;
            free(p);
        }
        kept->n[i] = 0;
    }
}

void *weir_pieces_take(struct weir_pieces *kept, size_t n_bytes)
{
    size_t size = size_of(n_bytes);
    if (size == WEIR_PIECES_SIZES) {
        return malloc(n_bytes);
    }
    struct weir_piece *p = kept ? kept->first[size] : NULL;
    if (!p) {
        return malloc((size + 1) * STEP_BYTES); /* whoever gets it back may hand it out as that */
    }
    kept->first[size] = p->next;
    kept->n[size]--;
    return p;
}

void weir_pieces_give(struct weir_pieces *kept, void *piece, size_t n_bytes)
{
    size_t size = size_of(n_bytes);
    if (!piece || !kept || size == WEIR_PIECES_SIZES || kept->n[size] == MOST_KEPT) {
        free(piece);
        return;
    }
    struct weir_piece *p = piece;
    p->next = kept->first[size];
    kept->first[size] = p;
    kept->n[size]++;
}
