/* SPDX-License-Identifier: Apache-2.0 */
#include "inside_table.h"

#include <stdlib.h>

#include "engine/grammar/json_rules.h"
#include "engine/grammar/walker.h"

static void add_inside(struct weir_token_trie *t, uint32_t node, uint32_t n_chars)
{
    for (uint32_t i = t->nodes[node].first_token; i < t->nodes[node + 1].first_token; i++) {
        for (uint32_t k = n_chars - 1; k < WEIR_TRIE_INSIDE_MASKS - 1; k++) {
            weir_mask_allow(t->inside_masks + (size_t)k * t->n_words, t->tokens[i]);
        }
        weir_mask_allow(t->inside_masks + (size_t)(WEIR_TRIE_INSIDE_MASKS - 1) * t->n_words,
                        t->tokens[i]);
        if (n_chars >= WEIR_TRIE_INSIDE_MASKS) {
            t->long_inside[t->n_long_inside++] =
                (struct weir_trie_inside){.token = t->tokens[i], .n_chars = n_chars};
        }
    }
}

/* Walks all tokens from inside a string that has no bounds. */
static void tabulate(struct weir_token_trie *t, struct weir_walker *w,
                     const struct weir_automaton *a, uint32_t inside)
{
    uint32_t whole[WEIR_WALK_MAX_LEVELS] = {0}; /* characters that are complete */
    weir_walker_start(w, a, inside);
    for (uint32_t i = 0; i < t->n_nodes;) {
        const struct weir_trie_node *node = &t->nodes[i];
        if (weir_walker_step(w, node->depth - 1u, node->byte) == 0) {
            i = node->skip;
            continue;
        }
        uint32_t n;
        const struct weir_walk_thread *thread = weir_walker_level(w, node->depth, &n);
        if (thread->state == WEIR_STATE_POP) {
            t->closers[t->n_closers++] =
                (struct weir_trie_closer){.node = i, .n_chars = whole[node->depth - 1]};
            i = node->skip;
            continue;
        }
        bool between = thread->state == inside;
        t->nodes[i].inside = between;
        whole[node->depth] = whole[node->depth - 1] + between;
        add_inside(t, i, whole[node->depth] + !between);
        i++;
    }
}

static int compare_inside(const void *a, const void *b)
{
    const struct weir_trie_inside *x = a, *y = b;
    return (x->n_chars > y->n_chars) - (x->n_chars < y->n_chars);
}

static int allocate(struct weir_token_trie *t)
{
    t->inside_masks =
        calloc((size_t)WEIR_TRIE_INSIDE_MASKS * t->n_words + 1, sizeof(*t->inside_masks));
    t->long_inside = malloc(((size_t)t->n_tokens + 1) * sizeof(*t->long_inside));
    t->closers = malloc(((size_t)t->n_nodes + 1) * sizeof(*t->closers));
    return t->inside_masks && t->long_inside && t->closers ? 0 : WEIR_E_NOMEM;
}

/* Gives back what was not needed; that cannot do harm when it fails. */
static void *shrunk(void *p, size_t n_bytes)
{
    void *smaller = realloc(p, n_bytes);
    if (!smaller) {
        return p;
    }
    return smaller;
}

static void shrink(struct weir_token_trie *t)
{
    t->closers = shrunk(t->closers, (t->n_closers + 1) * sizeof(*t->closers));
    t->long_inside = shrunk(t->long_inside, (t->n_long_inside + 1) * sizeof(*t->long_inside));
}

int weir_inside_table_fill(struct weir_token_trie *t)
{
    struct weir_automaton a;
    weir_automaton_init(&a);
    uint32_t inside = weir_json_inside(&a);
    struct weir_walker *w = malloc(sizeof(*w));
    int r = weir_automaton_seal(&a);
    if (r == 0) {
        r = w ? allocate(t) : WEIR_E_NOMEM;
    }
    if (r == 0) {
        tabulate(t, w, &a, inside);
        qsort(t->long_inside, t->n_long_inside, sizeof(*t->long_inside), compare_inside);
        shrink(t);
    }
    free(w);
    weir_automaton_finish(&a);
    return r;
}
