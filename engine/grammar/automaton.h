/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A pushdown automaton over bytes: what a grammar is compiled to.
 *
 * Why: a schema may refer to itself, so a finite automaton does not do; and models write tokens,
 * not characters, so the alphabet is bytes.
 * How: a state has edges. An edge takes a byte of a range, or nothing; it may push a state to come
 * back to. WEIR_STATE_POP goes back to the state pushed last; with none left the text is complete.
 * Strings are so common that the inside of one is a state of its own kind: see weir_body.
 * Ownership: the automaton owns its arrays. Building: add states and edges, then seal() once;
 * sealed automata are immutable. Threads: none while built, any when sealed.
 * Errors: sticky `code`: WEIR_E_NOMEM, or WEIR_E_TOOBIG past the limits below. */
#include <stdbool.h>

#include "weir/types.h"

enum {
    WEIR_STATE_POP = 0,
    WEIR_GRAMMAR_MAX_DEPTH = 64, /* states pushed at a time */
    WEIR_NEED_NEVER = 255,
    WEIR_AUTOMATON_MAX_STATES = 1 << 17,
    WEIR_AUTOMATON_MAX_EDGES = 1 << 18,
};

#define WEIR_STATE_NONE UINT32_MAX

struct weir_edge {
    uint32_t target;
    uint32_t push;  /* or WEIR_STATE_NONE; WEIR_STATE_POP is the same as not pushing */
    uint32_t from;  /* while building */
    uint8_t lo, hi; /* the bytes it takes, when takes_byte */
    bool takes_byte;
};

/* Inside a JSON string, between two characters. A character leads to `next`, by whatever bytes:
 * plain ones, UTF-8, an escape; the closing quote leads to `close`. The bounds are what may still
 * come before the quote; they follow from `next` and are kept for the masks of weir_token_trie. */
struct weir_body {
    uint32_t next;     /* WEIR_STATE_NONE exactly when max_more is 0 */
    uint32_t close;    /* the quote may only come when min_more is 0 */
    uint32_t min_more; /* characters */
    uint32_t max_more; /* UINT32_MAX: no bound */
};

struct weir_state {
    uint32_t first_edge; /* edges that take nothing come first */
    uint32_t n_empty, n_edges;
    uint32_t body; /* 1 + index into bodies; 0: an ordinary state */
    /* How deep the stack gets at least, above its height here, until this level is popped.
     * WEIR_NEED_NEVER: there is no way out. */
    uint8_t need;
};

/* States that every grammar shares in meaning, made when first asked for; 0: not made yet. */
struct weir_shared_states {
    uint32_t utf8_1, utf8_2, utf8_3; /* so many continuation bytes, then pop */
    uint32_t utf8_e0, utf8_ed, utf8_f0, utf8_f4;
    uint32_t escape; /* behind a backslash */
    uint32_t space, value, object, array, string, number, integer, boolean, null;
};

struct weir_automaton {
    struct weir_state *states;
    struct weir_edge *edges;
    struct weir_body *bodies;
    uint32_t n_states, n_edges, n_bodies;
    uint32_t cap_states, cap_edges, cap_bodies;
    struct weir_shared_states shared;
    int code;
    bool sealed;
};

/* Makes WEIR_STATE_POP. Check a->code at the end. */
void weir_automaton_init(struct weir_automaton *a);
void weir_automaton_finish(struct weir_automaton *a);

/* After a failure these do nothing; states are then WEIR_STATE_POP. */
uint32_t weir_automaton_state(struct weir_automaton *a);
/* A state between two characters of a string; body.next is WEIR_STATE_NONE or a state;
 * weir_automaton_body_loop() lets it lead back to itself. */
uint32_t weir_automaton_body(struct weir_automaton *a, struct weir_body body);
void weir_automaton_body_loop(struct weir_automaton *a, uint32_t state);
/* Takes a byte of lo..hi. */
void weir_automaton_range(struct weir_automaton *a, uint32_t from, uint8_t lo, uint8_t hi,
                          uint32_t target);
/* Takes a byte of lo..hi, then does what `target` says and comes back to `back`. */
void weir_automaton_range_call(struct weir_automaton *a, uint32_t from, uint8_t lo, uint8_t hi,
                               uint32_t target, uint32_t back);
void weir_automaton_empty(struct weir_automaton *a, uint32_t from, uint32_t target);
void weir_automaton_call(struct weir_automaton *a, uint32_t from, uint32_t target, uint32_t back);
/* A chain of states that takes the bytes of s and leads to `target`. */
void weir_automaton_text(struct weir_automaton *a, uint32_t from, weir_str s, uint32_t target);

/* Sorts the edges and computes `need`. WEIR_E_ARG: from some state, states can be reached again
 * without taking a byte (a reference that leads back to itself). */
int weir_automaton_seal(struct weir_automaton *a);

static inline const struct weir_body *weir_automaton_body_of(const struct weir_automaton *a,
                                                             const struct weir_state *s)
{
    return s->body ? &a->bodies[s->body - 1] : NULL;
}
