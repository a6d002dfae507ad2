/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What is wrong with a configuration file, and where: a bounded list of findings.
 *
 * Why: a person mends a file in one go when all mistakes are shown, each with its position.
 * Every reader (YAML, schema, rules) adds to the same list; an edge prints it once.
 * Ownership: the list owns all text until finish. Threads: one owner at a time.
 * Errors: none; past WEIR_FINDINGS_MAX, or without memory, a finding is only counted in n_left_out.
 * Invariant: a list with n == 0 and n_left_out == 0 means that nothing was found. */
#include <stdbool.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/error.h"

enum { WEIR_FINDINGS_MAX = 20 };

/* A place in the file: line and column count from 1, the column in characters. */
struct weir_place {
    uint32_t line;
    uint32_t column;
};

struct weir_finding {
    struct weir_place place;
    const char *path; /* key path: "models.big.targets[1].weight", "document" for the whole */
    const char *rule; /* number of the broken enterprise rule ("1.1"), NULL: malformed */
    const char *text; /* what is wrong, what is allowed */
};

struct weir_findings {
    struct weir_arena arena;
    const char *file; /* name as the user gave it */
    struct weir_finding items[WEIR_FINDINGS_MAX];
    size_t n;
    size_t n_left_out; /* found, but not kept */
    size_t n_rules;    /* how many of all are broken rules; the others are malformed */
};

/* Copies `file`; "" for findings that are only counted or passed on costs no memory. */
void weir_findings_init(struct weir_findings *f, const char *file);
void weir_findings_finish(struct weir_findings *f);
bool weir_findings_empty(const struct weir_findings *f);
/* True when something is malformed, not merely against a rule. */
bool weir_findings_malformed(const struct weir_findings *f);

/* Copies path and text. `rule` must outlive the list (a literal) or be NULL. */
void weir_findings_add(struct weir_findings *f, struct weir_place place, const char *path,
                       const char *rule, const char *fmt, ...) WEIR_PRINTF(5, 6);
/* Adds copies of all of `from`. */
void weir_findings_append(struct weir_findings *f, const struct weir_findings *from);

/* Orders the kept ones by place; those of one place keep their order. */
void weir_findings_sort(struct weir_findings *f);

/* One line each: `FILE:LINE:COLUMN: key.path: text`, with ` (rule N)` for a broken rule. */
void weir_findings_print(const struct weir_findings *f, FILE *out);
/* The first finding as one sentence in *err, "and N more" at its end; returns err's code. */
int weir_findings_to_error(const struct weir_findings *f, struct weir_error *err);
