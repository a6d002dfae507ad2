/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Alternatives of literal text, put together so that only one place is open after each byte.
 *
 * Why: an enum of a thousand values must not be a thousand threads of a walk.
 * Errors: WEIR_E_NOMEM; otherwise the automaton's sticky code. */
#include "engine/grammar/automaton.h"

struct weir_literal {
    weir_str text;
    uint32_t target; /* where to go behind it */
};

/* Lays all of them below `from`; sorts the array. */
int weir_literals_add(struct weir_automaton *a, uint32_t from, struct weir_literal *literals,
                      uint32_t n);

/* A new rule for a property's name, quotes included, that is none of `names`: plain characters up
 * to where it differs from them, then any. Sorts the array; targets are not used. */
int weir_literals_other_name(struct weir_automaton *a, struct weir_literal *names, uint32_t n,
                             uint32_t *ret_rule);
