/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Numbers between two bounds that are multiples of a step, as an automaton over their digits.
 *
 * How: digits are compared from the left with those of the bounds. As long as all were equal, the
 * next digit is held to the bound's; once one differs in the right direction, the rest is free.
 * A step is units / 10^n_fraction: the digits so far, read as a whole number, leave a remainder
 * modulo the units, and a number may end where the digits that its fraction lacks, as zeros, leave
 * none.
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

enum { WEIR_NUMBER_MAX_UNITS = 1000 }; /* as many states for each digit */

struct weir_number_range {
    struct weir_bound low, high;
    uint32_t n_fraction; /* digits behind the point at most; 0: integers */
    uint32_t units;      /* 1..WEIR_NUMBER_MAX_UNITS; 1: every number of so many digits */
};

/* Reads a JSON number's text. WEIR_E_TOOBIG: from 10^16 on (`negative` is set); WEIR_E_ARG: more
 * digits behind the point than there may be. */
int weir_bound_read(weir_str text, struct weir_bound *ret);

/* A step as units and n_fraction of the range; for integers, the least whole number that is a
 * multiple of it. WEIR_E_ARG: not above 0; WEIR_E_TOOBIG: too many units. */
int weir_number_step(const struct weir_bound *step, bool integers, struct weir_number_range *range);

/* Lays the numbers below `from`; each pops behind its last digit. */
void weir_number_range_lay(struct weir_automaton *a, uint32_t from,
                           const struct weir_number_range *range);
