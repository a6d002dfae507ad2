/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Constrained output: which tokens may come next so that the whole text is what was asked for.
 *
 * What: JSON mode (an object), a JSON Schema, either between literal texts (forced tool calls).
 * Why here: the mask is given to the backend with each step, so that a model cannot write anything
 * else, whatever it was told.
 * How: the schema becomes a pushdown automaton over bytes (automaton.h); a sequence's state is the
 * set of places where the text may stand; a mask is found by walking the vocabulary's trie and the
 * automaton together (token_trie.h).
 * Schemas: see json_schema.h for the keywords and what is left out.
 * Ownership: a grammar is counted; each state borrows it. States are plain values, may be copied,
 * and hold nothing to free. The walker is a scratch of about 300 KB, one for each thread.
 * Threads: compile, ref and unref [any]; a grammar is immutable; mask and advance where the walker
 * belongs, without allocation.
 * Invariant: while a state is not complete, some byte may follow; and some token, since compile()
 * refuses vocabularies that lack the bytes. */
#include "base/error.h"
#include "engine/grammar/token_trie.h"

enum {
    WEIR_GRAMMAR_MAX_THREADS = 48,
    WEIR_GRAMMAR_MAX_FRAMES = 512,
};

struct weir_grammar;
struct weir_walker;

struct weir_grammar_source {
    weir_str schema; /* a JSON Schema as text; empty: any JSON object */
    weir_str prefix; /* literal text before the value */
    weir_str suffix; /* and behind it */
};

struct weir_grammar_state {
    const struct weir_grammar *grammar;
    uint16_t n_threads, n_frames;
    bool may_end; /* the text is complete: tokens that end a generation are allowed */
    struct {
        uint32_t state;
        uint16_t frame;
    } threads[WEIR_GRAMMAR_MAX_THREADS];
    struct {
        uint32_t state;
        uint16_t parent;
    } frames[WEIR_GRAMMAR_MAX_FRAMES]; /* frames[0] is the empty stack */
};

/* On success *ret_grammar has one reference. WEIR_E_ARG with a sentence that names JSON pointer and
 * keyword: the schema is wrong, can never be satisfied, or asks for what is not supported;
 * WEIR_E_TOOBIG; WEIR_E_UNSUPPORTED: the vocabulary lacks bytes of JSON; WEIR_E_NOMEM. */
int weir_grammar_compile(const struct weir_grammar_source *source,
                         const struct weir_token_trie *trie, struct weir_grammar **ret_grammar,
                         struct weir_error *err);
struct weir_grammar *weir_grammar_ref(struct weir_grammar *g);
void weir_grammar_unref(struct weir_grammar *g); /* NULL ok */

/* The state before the first token. */
void weir_grammar_state_init(struct weir_grammar_state *s, const struct weir_grammar *g);

/* Nothing but an end token may follow. */
static inline bool weir_grammar_is_complete(const struct weir_grammar_state *s)
{
    return s->may_end && s->n_threads == 0;
}

int weir_walker_create(struct weir_walker **ret_walker);
void weir_walker_destroy(struct weir_walker *w); /* NULL ok */

/* bits[ceil(n_vocab / 32)], 1: allowed. WEIR_E_INTERNAL: no token is (bits are 0). */
int weir_grammar_mask(const struct weir_grammar_state *s, struct weir_walker *w, uint32_t *bits);
/* Takes a token. WEIR_E_ARG: it is not allowed; the state is as before. An end token, where it may
 * come, completes the text. */
int weir_grammar_advance(struct weir_grammar_state *s, struct weir_walker *w, int32_t token);
