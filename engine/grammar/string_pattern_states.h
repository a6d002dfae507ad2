/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A pattern as states of a JSON string's inside.
 *
 * Why deterministic (subset construction): one thread of a walk then follows a string, however many
 * alternatives the pattern has.
 * Writing: a character is written in one way: itself, or a backslash and a letter for the quote,
 * the backslash, \b \f \n \r \t. Other control characters and lone surrogates are never written.
 * Threads: none. Bounds: WEIR_STRING_PATTERN_MAX_STATES states. */
#include "engine/grammar/automaton.h"
#include "engine/grammar/string_pattern.h"

enum { WEIR_STRING_PATTERN_MAX_STATES = 4000 };

/* Lays the texts of `p` below `from`, which stands behind the opening quote; the closing quote
 * leads to `close`. *fuel: visits of nodes that are left to spend, some 5 ns each; below 0 it gives
 * up. WEIR_E_TOOBIG or WEIR_E_NOMEM with a sentence in *err. */
int weir_string_pattern_lay(struct weir_automaton *a, const struct weir_string_pattern *p,
                            uint32_t from, uint32_t close, int64_t *fuel, struct weir_error *err);
