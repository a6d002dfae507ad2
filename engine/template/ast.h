/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The syntax tree of a template.
 *
 * Ownership: nodes live in the template's arena and are never changed after parsing, so that any
 * number of threads may render one template.
 * Invariant: at most WEIR_TPL_MAX_NODES nodes; statements and brackets nest at most
 * WEIR_TPL_MAX_SYNTAX_DEPTH levels. Chains of binary operators are one flat node. */
#include "engine/template/value.h"

enum { WEIR_TPL_MAX_NODES = 100000, WEIR_TPL_MAX_SYNTAX_DEPTH = 100 };

struct weir_tpl_filter;
struct weir_tpl_test;

enum weir_tpl_node_kind {
    /* Statements */
    WEIR_TPL_NODE_BLOCK,        /* kids */
    WEIR_TPL_NODE_DATA,         /* text */
    WEIR_TPL_NODE_PRINT,        /* a */
    WEIR_TPL_NODE_IF,           /* kids: condition, BLOCK, condition, BLOCK ...; b: else or NULL */
    WEIR_TPL_NODE_FOR,          /* a: target, b: iterable, c: condition or NULL; kids: body, else */
    WEIR_TPL_NODE_SET,          /* a: target, b: value */
    WEIR_TPL_NODE_SET_BLOCK,    /* a: target, b: BLOCK, c: filter chain on CAPTURED or NULL */
    WEIR_TPL_NODE_FILTER_BLOCK, /* b: BLOCK, c: filter chain on CAPTURED */
    WEIR_TPL_NODE_WITH,         /* kids: SET ..., b: BLOCK */
    WEIR_TPL_NODE_MACRO,        /* text: name; kids: PARAM ...; b: BLOCK */
    WEIR_TPL_NODE_CALL_BLOCK,   /* a: CALL, kids: PARAM ..., b: BLOCK; text: "caller" */
    WEIR_TPL_NODE_BREAK,
    WEIR_TPL_NODE_CONTINUE,
    /* Expressions */
    WEIR_TPL_NODE_CONST,    /* value */
    WEIR_TPL_NODE_NAME,     /* text */
    WEIR_TPL_NODE_LIST,     /* kids */
    WEIR_TPL_NODE_TUPLE,    /* kids */
    WEIR_TPL_NODE_DICT,     /* kids: key, value ... */
    WEIR_TPL_NODE_CHAIN,    /* kids, text: one enum weir_tpl_op per kid from the second on */
    WEIR_TPL_NODE_COMPARE,  /* the same */
    WEIR_TPL_NODE_CONCAT,   /* kids joined as text (`~`) */
    WEIR_TPL_NODE_AND,      /* kids */
    WEIR_TPL_NODE_OR,       /* kids */
    WEIR_TPL_NODE_NOT,      /* a */
    WEIR_TPL_NODE_NEGATE,   /* a */
    WEIR_TPL_NODE_PLUS,     /* a */
    WEIR_TPL_NODE_CHOOSE,   /* a if b else c (or NULL) */
    WEIR_TPL_NODE_ATTR,     /* a.text */
    WEIR_TPL_NODE_ITEM,     /* a[b] */
    WEIR_TPL_NODE_SLICE,    /* a[kids: start, stop, step; NULL where left out] */
    WEIR_TPL_NODE_CALL,     /* a(kids); keyword arguments are KEYWORD */
    WEIR_TPL_NODE_FILTER,   /* a|text(kids) */
    WEIR_TPL_NODE_TEST,     /* a is text(kids) */
    WEIR_TPL_NODE_KEYWORD,  /* text=a */
    WEIR_TPL_NODE_PARAM,    /* text, default a or NULL */
    WEIR_TPL_NODE_CAPTURED, /* the text that a set or filter block produced */
};

enum weir_tpl_op {
    WEIR_TPL_OP_ADD,
    WEIR_TPL_OP_SUB,
    WEIR_TPL_OP_MUL,
    WEIR_TPL_OP_DIV,
    WEIR_TPL_OP_FLOORDIV,
    WEIR_TPL_OP_MOD,
    WEIR_TPL_OP_POW,
    WEIR_TPL_OP_EQ,
    WEIR_TPL_OP_NE,
    WEIR_TPL_OP_LT,
    WEIR_TPL_OP_LE,
    WEIR_TPL_OP_GT,
    WEIR_TPL_OP_GE,
    WEIR_TPL_OP_IN,
    WEIR_TPL_OP_NOT_IN,
};

struct weir_tpl_node {
    enum weir_tpl_node_kind kind;
    uint32_t line;
    uint32_t n_kids;
    struct weir_tpl_node **kids;
    struct weir_tpl_node *a, *b, *c;
    union {
        weir_str text;
        struct weir_tpl_value value;
    };
    union { /* resolved when parsed; NULL: unknown, an error where it is reached */
        const struct weir_tpl_filter *filter;
        const struct weir_tpl_test *test;
    };
};
