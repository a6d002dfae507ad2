/* SPDX-License-Identifier: Apache-2.0 */
#include "token_trie.h"

#include <stdlib.h>

#include "engine/grammar/inside_table.h"

struct entry {
    weir_str piece;
    int32_t token;
};

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    size_t n = x->piece.n < y->piece.n ? x->piece.n : y->piece.n;
    int c = memcmp(x->piece.p, y->piece.p, n);
    if (c == 0) {
        c = (x->piece.n > y->piece.n) - (x->piece.n < y->piece.n);
    }
    return c ? c : (x->token > y->token) - (x->token < y->token);
}

/* Fills entries[n_vocab] and end_tokens[n_vocab]; returns how many entries. */
static uint32_t collect(struct weir_token_trie *t, struct entry *entries)
{
    const struct weir_vocabulary *v = t->vocabulary;
    uint32_t n = 0;
    for (uint32_t i = 0; i < v->n_vocab; i++) {
        int32_t token = (int32_t)i;
        if (v->is_end(v->impl, token)) {
            t->end_tokens[t->n_end_tokens++] = token;
            continue;
        }
        weir_str piece = weir_vocabulary_visible(v, token);
        if (piece.n > 0 && piece.n <= WEIR_TRIE_MAX_PIECE_BYTES) {
            entries[n++] = (struct entry){piece, token};
        }
    }
    return n;
}

static size_t common_prefix(weir_str a, weir_str b)
{
    size_t n = 0;
    while (n < a.n && n < b.n && a.p[n] == b.p[n]) {
        n++;
    }
    return n;
}

static uint32_t count_nodes(const struct entry *entries, uint32_t n)
{
    uint32_t n_nodes = 0;
    weir_str last = {NULL, 0};
    for (uint32_t i = 0; i < n; i++) {
        n_nodes += (uint32_t)(entries[i].piece.n - common_prefix(entries[i].piece, last));
        last = entries[i].piece;
    }
    return n_nodes;
}

/* Entries are sorted, so each adds its nodes below those that it shares with the one before. */
static void lay_nodes(struct weir_token_trie *t, const struct entry *entries)
{
    uint32_t open[WEIR_TRIE_MAX_PIECE_BYTES + 1]; /* node at each depth of the last piece */
    weir_str last = {NULL, 0};
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->n_tokens; i++) {
        weir_str piece = entries[i].piece;
        size_t shared = common_prefix(piece, last);
        for (size_t depth = last.n; depth > shared; depth--) {
            t->nodes[open[depth]].skip = n;
        }
        for (size_t depth = shared + 1; depth <= piece.n; depth++) {
            open[depth] = n;
            t->nodes[n++] = (struct weir_trie_node){
                .first_token = i,
                .depth = (uint16_t)depth,
                .byte = (uint8_t)piece.p[depth - 1],
            };
        }
        t->tokens[i] = entries[i].token;
        last = piece;
    }
    for (size_t depth = last.n; depth > 0; depth--) {
        t->nodes[open[depth]].skip = n;
    }
    t->nodes[n] = (struct weir_trie_node){.skip = n, .first_token = t->n_tokens};
}

/* Printable ASCII, a newline, and all that UTF-8 is made of. */
static bool spells_json(const struct weir_token_trie *t)
{
    bool has[256] = {false};
    for (uint32_t i = 0; i < t->n_nodes; i = t->nodes[i].skip) {
        has[t->nodes[i].byte] = t->nodes[i + 1].first_token > t->nodes[i].first_token;
    }
    /* Bytes that begin a character may be missing, as two are in SmolLM2: it is then not written.
     */
    bool all = has['\n'];
    for (unsigned b = 0x20; b < 0xC0; b++) {
        all = all && (has[b] || b == 0x7F);
    }
    return all;
}

static int fill(struct weir_token_trie *t, struct entry *entries)
{
    t->n_tokens = collect(t, entries);
    qsort(entries, t->n_tokens, sizeof(*entries), compare_entries);
    t->n_nodes = count_nodes(entries, t->n_tokens);
    t->nodes = malloc(((size_t)t->n_nodes + 1) * sizeof(*t->nodes));
    t->tokens = malloc(((size_t)t->n_tokens + 1) * sizeof(*t->tokens));
    if (!t->nodes || !t->tokens) {
        return WEIR_E_NOMEM;
    }
    lay_nodes(t, entries);
    t->spells_json = spells_json(t);
    return weir_inside_table_fill(t);
}

int weir_token_trie_create(const struct weir_vocabulary *v, struct weir_token_trie **ret_trie)
{
    struct weir_token_trie *t = calloc(1, sizeof(*t));
    struct entry *entries = malloc(((size_t)v->n_vocab + 1) * sizeof(*entries));
    int r = WEIR_E_NOMEM;
    if (t && entries) {
        t->vocabulary = v;
        t->n_words = v->n_vocab / 32 + (v->n_vocab % 32 != 0);
        t->end_tokens = malloc(((size_t)v->n_vocab + 1) * sizeof(*t->end_tokens));
        r = t->end_tokens ? fill(t, entries) : WEIR_E_NOMEM;
    }
    free(entries);
    if (r < 0) {
        weir_token_trie_destroy(t);
        return r;
    }
    *ret_trie = t;
    return 0;
}

void weir_token_trie_destroy(struct weir_token_trie *t)
{
    if (t) {
        free(t->nodes);
        free(t->tokens);
        free(t->end_tokens);
        free(t->inside_masks);
        free(t->long_inside);
        free(t->closers);
        free(t);
    }
}
