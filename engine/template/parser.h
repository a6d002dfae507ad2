/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Tokens to a syntax tree, by jinja2's grammar.
 *
 * Ownership: the tree lives in the arena. Threads: none.
 * Errors: WEIR_E_FORMAT with line and what was expected, WEIR_E_UNSUPPORTED for tags that need
 * other templates (include, import, extends, block), WEIR_E_TOOBIG beyond ast.h's limits,
 * WEIR_E_NOMEM. The parser recurses; every level is counted against WEIR_TPL_MAX_SYNTAX_DEPTH. */
#include "base/error.h"
#include "engine/template/ast.h"
#include "engine/template/lexer.h"

struct weir_tpl_parser {
    struct weir_arena *arena;
    struct weir_error *err;
    const struct weir_tpl_token *token; /* the current one */
    int code;                           /* sticky: the first error */
    unsigned depth;
    unsigned n_nodes;
    unsigned n_loops; /* open for loops, for break and continue */
};

/* Parses a whole template into a BLOCK. */
int weir_tpl_parse(struct weir_arena *a, const struct weir_tpl_tokens *tokens,
                   struct weir_tpl_node **ret_root, struct weir_error *err);

/* Below: shared by the parser's two halves (statements in parser.c, expressions in
 * parse_expression.c). After an error they return NULL and consume nothing more. */

struct weir_tpl_node *weir_tpl_parse_expression(struct weir_tpl_parser *p);
/* Without the ternary at the top, as conditions and loop sources are read. */
struct weir_tpl_node *weir_tpl_parse_or(struct weir_tpl_parser *p);
/* One expression, or several with commas as a tuple. */
struct weir_tpl_node *weir_tpl_parse_tuple(struct weir_tpl_parser *p, bool with_ternary);
/* Filters behind `input`; first: a filter name is expected right here, without a bar. */
struct weir_tpl_node *weir_tpl_parse_filters(struct weir_tpl_parser *p, struct weir_tpl_node *input,
                                             bool first);
/* A primary with its subscripts and calls. */
struct weir_tpl_node *weir_tpl_parse_postfix(struct weir_tpl_parser *p);

struct weir_tpl_node *weir_tpl_parse_fail(struct weir_tpl_parser *p, int code, const char *fmt, ...)
    WEIR_PRINTF(3, 4);
struct weir_tpl_node *weir_tpl_parse_node(struct weir_tpl_parser *p, enum weir_tpl_node_kind kind);
/* Appends to node->kids. */
void weir_tpl_parse_add_kid(struct weir_tpl_parser *p, struct weir_tpl_node *node,
                            struct weir_tpl_node *kid);
/* Counts one level of recursion; false (and an error) beyond the limit. */
bool weir_tpl_parse_enter(struct weir_tpl_parser *p);
void weir_tpl_parse_leave(struct weir_tpl_parser *p);

bool weir_tpl_parse_at_op(const struct weir_tpl_parser *p, const char *op);
bool weir_tpl_parse_at_name(const struct weir_tpl_parser *p, const char *name);
bool weir_tpl_parse_skip_op(struct weir_tpl_parser *p, const char *op);
bool weir_tpl_parse_skip_name(struct weir_tpl_parser *p, const char *name);
bool weir_tpl_parse_expect_op(struct weir_tpl_parser *p, const char *op);
/* The identifier here; {NULL, 0} and an error when there is none. */
weir_str weir_tpl_parse_expect_name(struct weir_tpl_parser *p);
void weir_tpl_parse_next(struct weir_tpl_parser *p);
