/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The parts of JSON (RFC 8259) as rules: states to call, which pop when the part is complete.
 *
 * Bounds that JSON does not have, so that a model cannot go on for ever in one place:
 * white space is nothing, one space, or one newline with up to 32 spaces or tabs, and it stands
 * behind { [ : , and in front of } ]; numbers have up to 16 digits before and 16 behind the point
 * and 2 in the exponent. Escapes of lone surrogates are not allowed. Ownership: states belong to
 * the automaton; each rule is made once. Errors: the automaton's. */
#include "engine/grammar/automaton.h"

enum { WEIR_JSON_MAX_DIGITS = 16 };

/* Makes what the insides of strings need; idempotent. */
void weir_json_prepare_strings(struct weir_automaton *a);
/* What to call behind the first byte of a character of several bytes, or behind the backslash of an
 * escape; WEIR_STATE_NONE for other bytes. */
uint32_t weir_json_tail(const struct weir_automaton *a, uint8_t byte);
/* Behind the opening quote of a string of any length; pops behind the closing one. */
uint32_t weir_json_inside(struct weir_automaton *a);
/* Behind the opening quote of a string of min..max characters (max UINT32_MAX: any number); the
 * closing quote leads to `close`. */
uint32_t weir_json_bounded_inside(struct weir_automaton *a, uint32_t min, uint32_t max,
                                  uint32_t close);

uint32_t weir_json_space(struct weir_automaton *a);
uint32_t weir_json_string(struct weir_automaton *a);
uint32_t weir_json_integer(struct weir_automaton *a);
uint32_t weir_json_number(struct weir_automaton *a);
/* Up to max digits, at least min of them, then `after`. */
uint32_t weir_json_digits(struct weir_automaton *a, int min, int max, uint32_t after);
uint32_t weir_json_boolean(struct weir_automaton *a);
uint32_t weir_json_null(struct weir_automaton *a);
uint32_t weir_json_object(struct weir_automaton *a); /* with any members */
uint32_t weir_json_array(struct weir_automaton *a);
uint32_t weir_json_value(struct weir_automaton *a);

/* White space, then target. */
void weir_json_spaced(struct weir_automaton *a, uint32_t from, uint32_t target);
/* A new state: `byte`, then target. */
uint32_t weir_json_byte(struct weir_automaton *a, uint8_t byte, uint32_t target);
