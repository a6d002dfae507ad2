/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Numbers between two bounds, as an automaton over their digits.
 *
 * How: digits are compared from the left with those of the bounds. As long as all were equal, the
 * next digit is held to the bound's; once one differs in the right direction, the rest is free.
 * Written numbers have no exponent, up to WEIR_JSON_MAX_DIGITS digits before and behind the point.
 * Threads: none. Errors: the automaton's. */
#include "engine/grammar/json_rules.h"

struct weir_decimal { /* a magnitude: whole[0..n_whole) . fraction[0..n_fraction), digits 0..9 */
    uint8_t whole[WEIR_JSON_MAX_DIGITS], fraction[WEIR_JSON_MAX_DIGITS];
    uint32_t n_whole, n_fraction; /* n_whole >= 1; no zero in front but that of 0 */
};

struct weir_bound {
    bool given, excluded, negative;
    struct weir_decimal size;
};

struct weir_number_range {
    struct weir_bound low, high;
    bool integers;
};

/* Reads a JSON number's text. WEIR_E_TOOBIG: from 10^16 on (`negative` is set); WEIR_E_ARG: more
 * digits behind the point than there may be. */
int weir_bound_read(weir_str text, struct weir_bound *ret);

/* Lays the numbers below `from`; each pops behind its last digit. */
void weir_number_range_lay(struct weir_automaton *a, uint32_t from,
                           const struct weir_number_range *range);
