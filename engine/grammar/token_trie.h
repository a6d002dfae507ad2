/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The tokens of a vocabulary, sorted by their bytes, as a trie in one array.
 *
 * Why: which tokens may come next is found by walking the trie and the automaton together; what no
 * byte leads to is skipped as a whole.
 * How: nodes stand in depth-first order; node i is followed by its first child, `skip` is the first
 * node behind everything below it. Tokens stand in the order of the nodes.
 * Strings: most of a text in JSON is inside of strings, where nearly every token fits and a walk
 * would be long. What tokens do there is tabulated once: those that stay inside, by how many
 * characters they hold; and the nodes at which a token has just closed the string.
 * Left out: control tokens, tokens without bytes, and pieces over WEIR_TRIE_MAX_PIECE_BYTES.
 * Ownership: borrows the vocabulary. Threads: immutable, any. */
#include "engine/vocabulary.h"

enum {
    WEIR_TRIE_MAX_PIECE_BYTES = 256,
    WEIR_TRIE_INSIDE_MASKS = 16,
};

struct weir_trie_node {
    uint32_t skip;
    uint32_t first_token; /* its own tokens: up to the next node's first_token */
    uint16_t depth;       /* bytes from the root; the first nodes have 1 */
    uint8_t byte;
    bool inside; /* the bytes up to here are whole characters of a string */
};

struct weir_trie_closer { /* the quote that ends the string is this node's byte */
    uint32_t node;
    uint32_t n_chars; /* before it */
};

struct weir_trie_inside { /* keeps the string open */
    int32_t token;
    uint32_t n_chars; /* a character that the token only begins counts */
};

struct weir_token_trie {
    const struct weir_vocabulary *vocabulary;
    uint32_t n_words;             /* of a mask: ceil(n_vocab / 32) */
    struct weir_trie_node *nodes; /* [n_nodes + 1], the last one ends the tokens */
    int32_t *tokens;              /* [n_tokens] */
    uint32_t n_nodes, n_tokens;
    int32_t *end_tokens; /* [n_end_tokens] */
    uint32_t n_end_tokens;
    bool spells_json; /* ASCII and what continues a character: each byte is a token */
    /* inside_masks[k]: stays inside with at most k + 1 characters; the last one: with any number.
     */
    uint32_t *inside_masks;               /* [WEIR_TRIE_INSIDE_MASKS][n_words] */
    struct weir_trie_inside *long_inside; /* those over INSIDE_MASKS - 1 characters, ascending */
    uint32_t n_long_inside;
    struct weir_trie_closer *closers; /* ascending by node */
    uint32_t n_closers;
};

/* WEIR_E_NOMEM. */
int weir_token_trie_create(const struct weir_vocabulary *v, struct weir_token_trie **ret_trie);
void weir_token_trie_destroy(struct weir_token_trie *t); /* NULL ok */

static inline void weir_mask_allow(uint32_t *bits, int32_t token)
{
    bits[(uint32_t)token / 32] |= 1u << ((uint32_t)token % 32);
}

static inline bool weir_mask_allows(const uint32_t *bits, int32_t token)
{
    return bits[(uint32_t)token / 32] >> ((uint32_t)token % 32) & 1;
}
