/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* JSON Schema to automaton.
 *
 * Keywords: type (also a list), properties, required, additionalProperties, items, prefixItems,
 * minItems, maxItems, uniqueItems (of the values of an enum), enum, const, anyOf, oneOf, allOf,
 * $ref to "#..." within the text, $defs, minLength, maxLength, pattern (string_pattern.h), format
 * (date, time, date-time, duration, email, hostname, ipv4, ipv6, uuid), minimum, maximum,
 * exclusiveMinimum, exclusiveMaximum, multipleOf (number_range.h); and true. Annotations (title,
 * description, default, ...) have no effect. Every other keyword is refused by name, never ignored.
 * A keyword for another type than the schema's has no meaning in JSON Schema and is accepted. What
 * is written is valid, but for overlapping alternatives of oneOf; not everything that is valid can
 * be written:
 * - properties come in the schema's order, additional ones behind them, with names of plain
 *   characters where `properties` lists names; without additionalProperties there are none when
 *   `properties` is there (as OpenAI's strict mode has it);
 * - without `type`, the keywords tell the types; without those it is any JSON;
 * - literals (property names, enum, const) are written in one way, without white space;
 * - oneOf is anyOf: alternatives that overlap are not told apart; names of additional properties
 *   may come twice;
 * - a number with bounds or multipleOf has no exponent; white space and digits are bounded, see
 * json_rules.h;
 * - nesting is bounded by WEIR_GRAMMAR_MAX_DEPTH.
 * Bounds: text of WEIR_JSON_SCHEMA_MAX_BYTES, WEIR_JSON_SCHEMA_MAX_NODES schemas in it.
 * Threads: none. */
#include "base/error.h"
#include "engine/grammar/automaton.h"

enum { WEIR_JSON_SCHEMA_MAX_BYTES = 256 * 1024, WEIR_JSON_SCHEMA_MAX_NODES = 20000 };

/* On success *ret_rule is the state to call for a value of the schema. WEIR_E_ARG, WEIR_E_TOOBIG
 * or WEIR_E_NOMEM with *err filled. */
int weir_json_schema_rule(struct weir_automaton *a, weir_str text, uint32_t *ret_rule,
                          struct weir_error *err);
