/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Lua's patterns, matched in bounded steps.
 *
 * Why not Lua's own matcher: it backtracks without a bound and recurses. This one compiles a
 * pattern to items, keeps its choices on a stack of its own (patterns repeat single characters
 * only, so there are no more choices than items), and counts each look at a character in `steps`;
 * when they are used up it gives up. Meaning: Lua 5.4 reference manual, 6.4.1.
 * Ownership: a compiled pattern borrows nothing. Threads: any. Errors: a sentence in `error`. */
#include <stdbool.h>
#include <stdint.h>

#include "weir/types.h"

enum { PATTERN_MAX_BYTES = 256, PATTERN_MAX_CAPTURES = 32, PATTERN_MAX_SETS = 16 };

struct pattern_item {
    uint8_t kind, repeat; /* see pattern.c */
    uint8_t a, b;         /* character, class or set; capture; balanced pair */
};

struct pattern {
    struct pattern_item items[PATTERN_MAX_BYTES + 1];
    uint32_t n;
    uint32_t n_captures;
    bool anchored;
    uint32_t n_sets;
    uint8_t sets[PATTERN_MAX_SETS][32]; /* bit per character */
    const char *error;                  /* NULL: good */
};

struct pattern_capture {
    size_t at, n;
    bool is_position; /* "()" */
};

struct pattern_match {
    size_t at, n; /* of the whole match */
    struct pattern_capture captures[PATTERN_MAX_CAPTURES];
};

bool pattern_compile(struct pattern *p, weir_str text);
/* The first match at or behind `from`. 1: found, 0: not; WEIR_E_TIMEOUT: out of steps. */
int pattern_search(const struct pattern *p, weir_str subject, size_t from, int64_t *steps,
                   struct pattern_match *ret_match);
