/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Greedy merging of neighbours by priority: the common core of BPE and SentencePiece.
 *
 * Why: the text starts as a list of small symbols; again and again the pair with the lowest
 * priority number (leftmost first among equals) becomes one symbol, until no pair may merge. A
 * linked list and a heap make it O(n log n), also for a megabyte of one letter.
 * Algorithm: R. Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units".
 * Ownership: the scratch owns its memory and is reused from word to word. Threads: one owner.
 * Errors: WEIR_E_NOMEM. Invariant: the heap never holds more than two entries a symbol. */
#include "base/error.h"
#include "engine/tokenizer/key_heap.h"

#define WEIR_MERGE_NONE UINT32_MAX

struct weir_merge_symbol {
    uint32_t id;    /* meaning is the caller's; WEIR_MERGE_NONE: no id */
    uint32_t start; /* bytes of the word that it covers */
    uint32_t n_bytes;
    uint32_t prev, next; /* indexes, or WEIR_MERGE_NONE */
    uint32_t priority;   /* of merging with `next`; WEIR_MERGE_NONE: may not */
    uint32_t merged_id;  /* what comes out then */
};

struct weir_merge {
    struct weir_merge_symbol *symbols;
    size_t n;
    size_t cap;
    struct weir_key_heap heap;
};

/* May left and right merge? Fills left's priority and merged_id, and leaves them when not. */
typedef void (*weir_merge_rank_fn)(const void *context, struct weir_merge_symbol *left,
                                   const struct weir_merge_symbol *right);

void weir_merge_init(struct weir_merge *m);
void weir_merge_finish(struct weir_merge *m);
/* Empties and makes room for max_symbols, which must stay below WEIR_MERGE_NONE. */
WEIR_NODISCARD int weir_merge_start(struct weir_merge *m, size_t max_symbols);
/* Empties and keeps the room. */
void weir_merge_restart(struct weir_merge *m);
/* Appends the next symbol of the word; within the reserved number. */
void weir_merge_add(struct weir_merge *m, uint32_t id, size_t start, size_t n_bytes);
/* Merges; afterwards the result is the chain that begins at symbols[0], if n > 0. */
void weir_merge_run(struct weir_merge *m, weir_merge_rank_fn rank, const void *context);
