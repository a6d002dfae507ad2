/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Template text to tokens, with jinja2's white space rules under trim_blocks and lstrip_blocks.
 *
 * Ownership: tokens and their texts live in the arena that is passed in. Threads: none.
 * Errors: WEIR_E_FORMAT with the line, WEIR_E_NOMEM, WEIR_E_TOOBIG.
 * Source of the rules: jinja2's documentation, "Whitespace Control", and its lexer's behaviour. */
#include "base/arena.h"
#include "base/error.h"
#include "weir/types.h"

enum weir_tpl_token_kind {
    WEIR_TPL_TOKEN_END,
    WEIR_TPL_TOKEN_DATA,
    WEIR_TPL_TOKEN_PRINT_BEGIN, /* {{ */
    WEIR_TPL_TOKEN_PRINT_END,
    WEIR_TPL_TOKEN_BLOCK_BEGIN, /* {% */
    WEIR_TPL_TOKEN_BLOCK_END,
    WEIR_TPL_TOKEN_NAME,
    WEIR_TPL_TOKEN_STRING, /* text is decoded */
    WEIR_TPL_TOKEN_INT,
    WEIR_TPL_TOKEN_FLOAT,
    WEIR_TPL_TOKEN_OP, /* text is the operator */
};

struct weir_tpl_token {
    enum weir_tpl_token_kind kind;
    uint32_t line; /* from 1 */
    weir_str text;
    union {
        int64_t i;
        double f;
    };
};

struct weir_tpl_tokens {
    struct weir_tpl_token *items; /* the last one is WEIR_TPL_TOKEN_END */
    size_t n;
    size_t cap;
};

/* text is valid UTF-8. */
int weir_tpl_lex(struct weir_arena *a, weir_str text, struct weir_tpl_tokens *ret_tokens,
                 struct weir_error *err);
