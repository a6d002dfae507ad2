/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Finds stop strings in text that comes byte by byte, and says how much must be held back.
 *
 * Why: a stop string may begin in one token and end three tokens later; nothing of it may be sent.
 * How: one Knuth-Morris-Pratt automaton per stop string (at most 16). The answer depends on the
 * bytes alone, never on how tokens cut them. The first stop to be complete wins; of two that are
 * complete at the same byte the longer one, as it began earlier.
 * Ownership: the set (tables and a copy of the strings) lives in the arena given to init; it is
 * immutable and shared by the choices, each of which has a struct weir_stop_state.
 * Threads: any for the set; the state has one owner. */
#include "base/arena.h"
#include "weir/backend_stream.h"

struct weir_stop_set {
    uint32_t n;
    uint32_t longest; /* bytes */
    struct {
        const char *text;
        uint32_t len;
        const uint32_t *border; /* [len + 1] longest proper border of each prefix */
    } stops[WEIR_MAX_STOPS];
};

struct weir_stop_state {
    uint32_t matched[WEIR_MAX_STOPS]; /* bytes of each stop that the text ends with */
};

/* Empty strings are ignored. WEIR_E_NOMEM, WEIR_E_ARG for too many. */
int weir_stop_set_init(struct weir_stop_set *set, const weir_str *stops, uint32_t n_stops,
                       struct weir_arena *arena);

/* Takes one byte. Returns the length of the stop string that ends with it, 0 when none does. */
uint32_t weir_stop_set_step(const struct weir_stop_set *set, struct weir_stop_state *state, char c);
/* Bytes at the text's end that may begin a stop string. */
uint32_t weir_stop_set_held(const struct weir_stop_set *set, const struct weir_stop_state *state);
