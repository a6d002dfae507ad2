/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The `pattern` of a JSON Schema: a regular subset of ECMA-262 on POSIX extended expressions.
 *
 * Why: schemas are written with \d, \w and (?:...); the C library knows neither, but matches in
 * linear time once look-around, back-references and big repeat counts are refused.
 * Matching is on bytes and finds the pattern anywhere; anchor with ^ and $.
 * Ownership: init/finish in the caller's storage. Threads: matching from any.
 * Errors: WEIR_E_UNSUPPORTED with a sentence. */
#include <regex.h>
#include <stdbool.h>

#include "base/error.h"

struct weir_pattern {
    regex_t regex;
};

enum { WEIR_PATTERN_MAX_BYTES = 512, WEIR_PATTERN_MAX_REPEAT = 1000 };

/* `text` holds no NUL. */
int weir_pattern_init(struct weir_pattern *p, weir_str text, struct weir_error *err);
void weir_pattern_finish(struct weir_pattern *p);
/* `subject` holds no NUL. */
bool weir_pattern_matches(const struct weir_pattern *p, weir_str subject);
