/* SPDX-License-Identifier: Apache-2.0 */
#include "grammars.h"

#include <pthread.h>
#include <stdlib.h>

#include <xxhash.h>

enum { N_KEPT = 32 };

struct kept_grammar {
    XXH128_hash_t key;
    struct weir_grammar *grammar; /* NULL: empty place */
    uint64_t used_at;
};

struct weir_grammars {
    const struct weir_vocabulary *vocabulary;
    const struct weir_page_secret *secret;
    pthread_mutex_t lock; /* guards all below */
    struct weir_token_trie *trie;
    struct kept_grammar kept[N_KEPT];
    uint64_t n_uses;
};

int weir_grammars_create(const struct weir_vocabulary *vocabulary,
                         const struct weir_page_secret *secret, struct weir_grammars **ret_grammars)
{
    struct weir_grammars *g = calloc(1, sizeof(*g));
    if (!g) {
        return WEIR_E_NOMEM;
    }
    g->vocabulary = vocabulary;
    g->secret = secret;
    (void)pthread_mutex_init(&g->lock, NULL); /* cannot fail with default attributes */
    *ret_grammars = g;
    return 0;
}

void weir_grammars_destroy(struct weir_grammars *g)
{
    if (!g) {
        return;
    }
    for (size_t i = 0; i < N_KEPT; i++) {
        weir_grammar_unref(g->kept[i].grammar);
    }
    weir_token_trie_destroy(g->trie);
    (void)pthread_mutex_destroy(&g->lock);
    free(g);
}

static XXH128_hash_t key_of(const struct weir_grammars *g, const struct weir_grammar_source *source)
{
    const weir_str texts[] = {source->schema, source->prefix, source->suffix};
    struct {
        XXH128_hash_t hash;
        uint64_t len_bytes[2];
    } parts[3] = {0};
    for (size_t i = 0; i < 3; i++) {
        parts[i].hash = XXH3_128bits_withSecret(texts[i].p, texts[i].n, g->secret->bytes,
                                                sizeof(g->secret->bytes));
        parts[i].len_bytes[0] = texts[i].n;
    }
    return XXH3_128bits_withSecret(parts, sizeof(parts), g->secret->bytes,
                                   sizeof(g->secret->bytes));
}

static struct weir_grammar *find(struct weir_grammars *g, XXH128_hash_t key)
{
    for (size_t i = 0; i < N_KEPT; i++) {
        if (g->kept[i].grammar && XXH128_isEqual(g->kept[i].key, key)) {
            g->kept[i].used_at = ++g->n_uses;
            return weir_grammar_ref(g->kept[i].grammar);
        }
    }
    return NULL;
}

/* In the place of the one that was used longest ago. */
static void keep(struct weir_grammars *g, XXH128_hash_t key, struct weir_grammar *grammar)
{
    struct kept_grammar *oldest = &g->kept[0];
    for (size_t i = 1; i < N_KEPT; i++) {
        if (g->kept[i].used_at < oldest->used_at) {
            oldest = &g->kept[i];
        }
    }
    weir_grammar_unref(oldest->grammar);
    *oldest = (struct kept_grammar){key, weir_grammar_ref(grammar), ++g->n_uses};
}

int weir_grammars_get(struct weir_grammars *g, const struct weir_grammar_source *source,
                      struct weir_grammar **ret_grammar, struct weir_error *err)
{
    XXH128_hash_t key = key_of(g, source);
    (void)pthread_mutex_lock(&g->lock);
    struct weir_grammar *grammar = find(g, key);
    int r = g->trie || grammar ? 0 : weir_token_trie_create(g->vocabulary, &g->trie);
    (void)pthread_mutex_unlock(&g->lock);
    if (r == 0 && !grammar) {
        r = weir_grammar_compile(source, g->trie, &grammar, err);
        if (r == 0) {
            (void)pthread_mutex_lock(&g->lock);
            keep(g, key, grammar);
            (void)pthread_mutex_unlock(&g->lock);
        }
    }
    if (r == 0) {
        *ret_grammar = grammar;
    }
    return r;
}
