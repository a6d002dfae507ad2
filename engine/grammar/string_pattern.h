/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Regular expressions of JSON Schema's `pattern` (ECMA 262) as a nondeterministic automaton over
 * code points; string_pattern_states.h makes it deterministic and lays it as bytes of a JSON
 * string.
 *
 * Taken: characters, `.`, classes with ranges, \d \w \s and their opposites, \t \n \r \v \f \0
 * \xHH \uHHHH, groups (plain, (?:), (?<name>)), `|`, `* + ? {m} {m,} {m,n}` (lazy ones say the
 * same), `^` first and `$` last in the whole or in an alternative of the whole. Without `^` or `$`
 * any text may come before or behind. Refused by name: back references, look-around, \b, \B, \p.
 * Ownership: the caller's; init by parse, finish in every case. Threads: none.
 * Bounds: WEIR_STRING_PATTERN_MAX_* below; over them WEIR_E_TOOBIG. */
#include <stdbool.h>

#include "base/error.h"

enum {
    WEIR_STRING_PATTERN_MAX_NODES = 4096,
    WEIR_STRING_PATTERN_MAX_RANGES = 2048,
    WEIR_STRING_PATTERN_MAX_DEPTH = 32,
    WEIR_STRING_PATTERN_LAST_CHAR = 0x10FFFF,
};

#define WEIR_STRING_PATTERN_NONE UINT16_MAX

struct weir_char_range { /* code points first..last */
    uint32_t first, last;
};

/* Leads to out[0] and, where it takes no character, to out[1]. */
struct weir_string_pattern_node {
    uint16_t out[2]; /* WEIR_STRING_PATTERN_NONE: nowhere */
    bool takes_char; /* one of ranges[first_range .. + n_ranges), sorted and apart */
    uint16_t first_range, n_ranges;
};

struct weir_string_pattern {
    struct weir_string_pattern_node *nodes; /* [n_nodes] */
    struct weir_char_range *ranges;         /* [n_ranges] */
    uint32_t n_nodes, n_ranges;
    uint16_t start, accept;
};

/* WEIR_E_ARG, WEIR_E_TOOBIG or WEIR_E_NOMEM with a sentence in *err. */
int weir_string_pattern_parse(weir_str text, struct weir_string_pattern *ret_pattern,
                              struct weir_error *err);
void weir_string_pattern_finish(struct weir_string_pattern *p);
