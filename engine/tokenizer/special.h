/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Finds tokens that stand whole in the text ("<|im_start|>") before the rest is split.
 *
 * Why: control tokens and tokens that the user defined are no product of merging. Longer ones win
 * over shorter ones wherever they overlap, earlier ones over later ones of the same length.
 * A trie finds the candidates, a heap orders them: O(n log n) for n bytes of text.
 * Ownership: the set owns its trie. Threads: immutable once built.
 * Errors: WEIR_E_NOMEM. */
#include <stdbool.h>

#include "engine/tokenizer/vocab.h"

struct weir_special_node;

struct weir_special_set {
    struct weir_special_node *nodes;
    size_t n;
    size_t cap;
    uint32_t roots[256]; /* node of a first byte, 0: none */
};

struct weir_special_match {
    uint32_t start;
    uint32_t n_bytes;
    uint32_t id;
};

/* Takes every control, unknown and user-defined token of the vocabulary. */
WEIR_NODISCARD int weir_special_set_init(struct weir_special_set *s, const struct weir_vocab *v);
void weir_special_set_finish(struct weir_special_set *s);

/* The matches in the order of the text, not overlapping; free() *ret_matches. Without
 * with_control only user-defined tokens are looked for. text.n < UINT32_MAX. */
WEIR_NODISCARD int weir_special_set_find(const struct weir_special_set *s, weir_str text,
                                         bool with_control, struct weir_special_match **ret_matches,
                                         size_t *ret_n);
