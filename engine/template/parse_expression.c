/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/template/filter.h"
#include "engine/template/is_test.h"
#include "parser.h"

static bool ok(const struct weir_tpl_parser *p)
{
    return p->code == 0;
}

static struct weir_tpl_node *constant(struct weir_tpl_parser *p, struct weir_tpl_value value)
{
    struct weir_tpl_node *node = weir_tpl_parse_node(p, WEIR_TPL_NODE_CONST);
    if (node) {
        node->value = value;
    }
    return node;
}

static struct weir_tpl_node *unexpected(struct weir_tpl_parser *p)
{
    weir_str text = p->token->text;
    return weir_tpl_parse_fail(p, WEIR_E_FORMAT, "unexpected '%.*s'",
                               (int)(text.n < 60 ? text.n : 60), text.p ? text.p : "");
}

static struct weir_tpl_node *parse_name(struct weir_tpl_parser *p)
{
    static const struct {
        const char *name;
        struct weir_tpl_value value;
    } words[] = {
        {"true", {.kind = WEIR_TPL_BOOL, .b = true}},
        {"True", {.kind = WEIR_TPL_BOOL, .b = true}},
        {"false", {.kind = WEIR_TPL_BOOL}},
        {"False", {.kind = WEIR_TPL_BOOL}},
        {"none", {.kind = WEIR_TPL_NONE}},
        {"None", {.kind = WEIR_TPL_NONE}},
    };
    weir_str name = p->token->text;
    weir_tpl_parse_next(p);
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (weir_str_is(name, words[i].name)) {
            return constant(p, words[i].value);
        }
    }
    struct weir_tpl_node *node = weir_tpl_parse_node(p, WEIR_TPL_NODE_NAME);
    if (node) {
        node->text = name;
    }
    return node;
}

/* Neighbouring literals are one string, as in Python. */
static struct weir_tpl_node *parse_string(struct weir_tpl_parser *p)
{
    weir_str text = p->token->text;
    weir_tpl_parse_next(p);
    while (p->token->kind == WEIR_TPL_TOKEN_STRING) {
        weir_str more = p->token->text;
        char *joined = weir_arena_alloc(p->arena, text.n + more.n + 1);
        if (!joined) {
            return weir_tpl_parse_fail(p, WEIR_E_NOMEM, "the template is too large");
        }
        memcpy(joined, text.p, text.n);
        memcpy(joined + text.n, more.p, more.n);
        text = (weir_str){joined, text.n + more.n};
        weir_tpl_parse_next(p);
    }
    return constant(p, weir_tpl_str(text));
}

static struct weir_tpl_node *parse_list(struct weir_tpl_parser *p)
{
    struct weir_tpl_node *node = weir_tpl_parse_node(p, WEIR_TPL_NODE_LIST);
    weir_tpl_parse_next(p);
    while (ok(p) && !weir_tpl_parse_at_op(p, "]")) {
        if (node->n_kids && (!weir_tpl_parse_expect_op(p, ",") || weir_tpl_parse_at_op(p, "]"))) {
            break;
        }
        weir_tpl_parse_add_kid(p, node, weir_tpl_parse_expression(p));
    }
    weir_tpl_parse_expect_op(p, "]");
    return node;
}

static struct weir_tpl_node *parse_dict(struct weir_tpl_parser *p)
{
    struct weir_tpl_node *node = weir_tpl_parse_node(p, WEIR_TPL_NODE_DICT);
    weir_tpl_parse_next(p);
    while (ok(p) && !weir_tpl_parse_at_op(p, "}")) {
        if (node->n_kids && (!weir_tpl_parse_expect_op(p, ",") || weir_tpl_parse_at_op(p, "}"))) {
            break;
        }
        weir_tpl_parse_add_kid(p, node, weir_tpl_parse_expression(p));
        weir_tpl_parse_expect_op(p, ":");
        weir_tpl_parse_add_kid(p, node, weir_tpl_parse_expression(p));
    }
    weir_tpl_parse_expect_op(p, "}");
    return node;
}

static struct weir_tpl_node *parse_paren(struct weir_tpl_parser *p)
{
    weir_tpl_parse_next(p);
    if (weir_tpl_parse_skip_op(p, ")")) {
        return weir_tpl_parse_node(p, WEIR_TPL_NODE_TUPLE);
    }
    struct weir_tpl_node *inner = weir_tpl_parse_tuple(p, true);
    weir_tpl_parse_expect_op(p, ")");
    return inner;
}

static struct weir_tpl_node *parse_primary(struct weir_tpl_parser *p)
{
    if (!ok(p)) {
        return NULL;
    }
    const struct weir_tpl_token *t = p->token;
    switch (t->kind) {
    case WEIR_TPL_TOKEN_NAME: return parse_name(p);
    case WEIR_TPL_TOKEN_STRING: return parse_string(p);
    case WEIR_TPL_TOKEN_INT: weir_tpl_parse_next(p); return constant(p, weir_tpl_int(t->i));
    case WEIR_TPL_TOKEN_FLOAT: weir_tpl_parse_next(p); return constant(p, weir_tpl_float(t->f));
    default: break;
    }
    if (weir_tpl_parse_at_op(p, "(")) {
        return parse_paren(p);
    }
    if (weir_tpl_parse_at_op(p, "[")) {
        return parse_list(p);
    }
    return weir_tpl_parse_at_op(p, "{") ? parse_dict(p) : unexpected(p);
}

static struct weir_tpl_node *parse_attribute(struct weir_tpl_parser *p, struct weir_tpl_node *of)
{
    bool by_index = p->token->kind == WEIR_TPL_TOKEN_INT;
    struct weir_tpl_node *node =
        weir_tpl_parse_node(p, by_index ? WEIR_TPL_NODE_ITEM : WEIR_TPL_NODE_ATTR);
    if (!node) {
        return NULL;
    }
    node->a = of;
    if (by_index) {
        node->b = constant(p, weir_tpl_int(p->token->i));
        weir_tpl_parse_next(p);
    } else {
        node->text = weir_tpl_parse_expect_name(p);
    }
    return node;
}

/* [a], [a, b] (a tuple as key) or a slice [a:b:c]; the bracket has been read. */
static struct weir_tpl_node *parse_subscript(struct weir_tpl_parser *p, struct weir_tpl_node *of)
{
    struct weir_tpl_node *node = weir_tpl_parse_node(p, WEIR_TPL_NODE_SLICE);
    if (!node) {
        return NULL;
    }
    node->a = of;
    bool sliced = false;
    while (ok(p) && node->n_kids < 3 && !weir_tpl_parse_at_op(p, "]")) {
        struct weir_tpl_node *bound =
            weir_tpl_parse_at_op(p, ":") ? NULL : weir_tpl_parse_tuple(p, true);
        weir_tpl_parse_add_kid(p, node, bound);
        if (!weir_tpl_parse_skip_op(p, ":")) {
            break;
        }
        sliced = true;
    }
    if (ok(p) && !sliced) {
        if (node->n_kids == 0) {
            return unexpected(p);
        }
        node->kind = WEIR_TPL_NODE_ITEM;
        node->b = node->kids[0];
    }
    weir_tpl_parse_expect_op(p, "]");
    return node;
}

/* Arguments behind "(" which has been read, up to and with ")". */
static void parse_arguments(struct weir_tpl_parser *p, struct weir_tpl_node *call)
{
    bool keywords = false;
    while (ok(p) && !weir_tpl_parse_at_op(p, ")")) {
        if (call->n_kids && (!weir_tpl_parse_expect_op(p, ",") || weir_tpl_parse_at_op(p, ")"))) {
            break;
        }
        if (weir_tpl_parse_at_op(p, "*") || weir_tpl_parse_at_op(p, "**")) {
            weir_tpl_parse_fail(p, WEIR_E_UNSUPPORTED, "*args and **kwargs are not supported");
            return;
        }
        const struct weir_tpl_token *next = p->token + (p->token->kind != WEIR_TPL_TOKEN_END);
        bool named = p->token->kind == WEIR_TPL_TOKEN_NAME && next->kind == WEIR_TPL_TOKEN_OP &&
                     weir_str_is(next->text, "=");
        struct weir_tpl_node *arg;
        if (named) {
            arg = weir_tpl_parse_node(p, WEIR_TPL_NODE_KEYWORD);
            weir_str name = weir_tpl_parse_expect_name(p);
            weir_tpl_parse_next(p);
            struct weir_tpl_node *value = weir_tpl_parse_expression(p);
            if (!ok(p)) {
                return;
            }
            arg->text = name;
            arg->a = value;
            keywords = true;
        } else {
            if (keywords) {
                weir_tpl_parse_fail(p, WEIR_E_FORMAT, "a plain argument follows a named one");
                return;
            }
            arg = weir_tpl_parse_expression(p);
        }
        weir_tpl_parse_add_kid(p, call, arg);
    }
    weir_tpl_parse_expect_op(p, ")");
}

static struct weir_tpl_node *parse_call(struct weir_tpl_parser *p, struct weir_tpl_node *callee)
{
    struct weir_tpl_node *node = weir_tpl_parse_node(p, WEIR_TPL_NODE_CALL);
    if (node) {
        node->a = callee;
        parse_arguments(p, node);
    }
    return node;
}

static struct weir_tpl_node *parse_postfix_of(struct weir_tpl_parser *p, struct weir_tpl_node *node)
{
    while (ok(p)) {
        if (weir_tpl_parse_skip_op(p, ".")) {
            node = parse_attribute(p, node);
        } else if (weir_tpl_parse_skip_op(p, "[")) {
            node = parse_subscript(p, node);
        } else if (weir_tpl_parse_skip_op(p, "(")) {
            node = parse_call(p, node);
        } else {
            break;
        }
    }
    return node;
}

struct weir_tpl_node *weir_tpl_parse_postfix(struct weir_tpl_parser *p)
{
    return parse_postfix_of(p, parse_primary(p));
}

static struct weir_tpl_node *parse_filter(struct weir_tpl_parser *p, struct weir_tpl_node *input)
{
    struct weir_tpl_node *node = weir_tpl_parse_node(p, WEIR_TPL_NODE_FILTER);
    weir_str name = weir_tpl_parse_expect_name(p);
    if (!ok(p)) {
        return NULL;
    }
    node->a = input;
    node->text = name;
    node->filter = weir_tpl_filter_find(name);
    if (weir_tpl_parse_skip_op(p, "(")) {
        parse_arguments(p, node);
    }
    return node;
}

/* May the token start the bare argument of a test (`is divisibleby 3`)? */
static bool starts_test_argument(const struct weir_tpl_parser *p)
{
    switch (p->token->kind) {
    case WEIR_TPL_TOKEN_NAME:
        return !weir_tpl_parse_at_name(p, "else") && !weir_tpl_parse_at_name(p, "or") &&
               !weir_tpl_parse_at_name(p, "and") && !weir_tpl_parse_at_name(p, "if") &&
               !weir_tpl_parse_at_name(p, "is") && !weir_tpl_parse_at_name(p, "not") &&
               !weir_tpl_parse_at_name(p, "in");
    case WEIR_TPL_TOKEN_STRING:
    case WEIR_TPL_TOKEN_INT:
    case WEIR_TPL_TOKEN_FLOAT: return true;
    default: return weir_tpl_parse_at_op(p, "[") || weir_tpl_parse_at_op(p, "{");
    }
}

static struct weir_tpl_node *parse_test(struct weir_tpl_parser *p, struct weir_tpl_node *input)
{
    bool negated = weir_tpl_parse_skip_name(p, "not");
    struct weir_tpl_node *node = weir_tpl_parse_node(p, WEIR_TPL_NODE_TEST);
    weir_str name = weir_tpl_parse_expect_name(p);
    if (!ok(p)) {
        return NULL;
    }
    node->a = input;
    node->text = name;
    node->test = weir_tpl_test_find(name);
    if (weir_tpl_parse_skip_op(p, "(")) {
        parse_arguments(p, node);
    } else if (starts_test_argument(p)) {
        weir_tpl_parse_add_kid(p, node, weir_tpl_parse_postfix(p));
    }
    if (!negated) {
        return node;
    }
    struct weir_tpl_node *negation = weir_tpl_parse_node(p, WEIR_TPL_NODE_NOT);
    if (negation) {
        negation->a = node;
    }
    return negation;
}

struct weir_tpl_node *weir_tpl_parse_filters(struct weir_tpl_parser *p, struct weir_tpl_node *input,
                                             bool first)
{
    if (first) {
        input = parse_filter(p, input);
    }
    while (ok(p)) {
        if (weir_tpl_parse_skip_op(p, "|")) {
            input = parse_filter(p, input);
        } else if (weir_tpl_parse_skip_name(p, "is")) {
            input = parse_test(p, input);
        } else if (weir_tpl_parse_skip_op(p, "(")) {
            input = parse_call(p, input);
        } else {
            break;
        }
    }
    return input;
}

static struct weir_tpl_node *parse_unary(struct weir_tpl_parser *p, bool with_filters)
{
    if (!weir_tpl_parse_enter(p)) {
        return NULL;
    }
    struct weir_tpl_node *node;
    bool negate = weir_tpl_parse_skip_op(p, "-");
    if (negate || weir_tpl_parse_skip_op(p, "+")) {
        node = weir_tpl_parse_node(p, negate ? WEIR_TPL_NODE_NEGATE : WEIR_TPL_NODE_PLUS);
        struct weir_tpl_node *operand = parse_unary(p, false);
        if (node) {
            node->a = operand;
        }
    } else {
        node = parse_primary(p);
    }
    node = parse_postfix_of(p, node);
    if (with_filters) {
        node = weir_tpl_parse_filters(p, node, false);
    }
    weir_tpl_parse_leave(p);
    return node;
}

/* One level of left-associative binary operators. Levels are data, not functions, so that a chain
 * is one flat node and deep grammar costs no C stack. */
struct level {
    enum weir_tpl_node_kind kind;
    struct {
        const char *text;
        enum weir_tpl_op op;
    } ops[4];
};

static const struct level levels[] = {
    {WEIR_TPL_NODE_CHAIN, {{"+", WEIR_TPL_OP_ADD}, {"-", WEIR_TPL_OP_SUB}}},
    {WEIR_TPL_NODE_CONCAT, {{"~", WEIR_TPL_OP_ADD}}},
    {WEIR_TPL_NODE_CHAIN,
     {{"*", WEIR_TPL_OP_MUL},
      {"/", WEIR_TPL_OP_DIV},
      {"//", WEIR_TPL_OP_FLOORDIV},
      {"%", WEIR_TPL_OP_MOD}}},
    {WEIR_TPL_NODE_CHAIN, {{"**", WEIR_TPL_OP_POW}}},
};
enum { N_LEVELS = sizeof(levels) / sizeof(*levels) };

static bool skip_level_op(struct weir_tpl_parser *p, const struct level *level, char *ret_op)
{
    for (size_t i = 0; i < 4 && level->ops[i].text; i++) {
        if (weir_tpl_parse_skip_op(p, level->ops[i].text)) {
            *ret_op = (char)level->ops[i].op;
            return true;
        }
    }
    return false;
}

/* Appends an operator and its right side to a chain, which `first` starts when chain is NULL. */
static struct weir_tpl_node *extend(struct weir_tpl_parser *p, struct weir_tpl_node *chain,
                                    enum weir_tpl_node_kind kind, struct weir_tpl_node *first,
                                    char op, struct weir_tpl_node *right)
{
    if (!chain) {
        chain = weir_tpl_parse_node(p, kind);
        if (!chain) {
            return NULL;
        }
        weir_tpl_parse_add_kid(p, chain, first);
    }
    uint32_t n = chain->n_kids;
    if (n == 1 || (n & (n - 1)) == 0) {
        char *ops = weir_arena_alloc(p->arena, n * 2);
        if (!ops) {
            return weir_tpl_parse_fail(p, WEIR_E_NOMEM, "the template is too large");
        }
        if (chain->text.n) {
            memcpy(ops, chain->text.p, chain->text.n);
        }
        chain->text.p = ops;
    }
    ((char *)chain->text.p)[chain->text.n++] = op;
    weir_tpl_parse_add_kid(p, chain, right);
    return chain;
}

static struct weir_tpl_node *parse_level(struct weir_tpl_parser *p, size_t index)
{
    if (index == N_LEVELS) {
        return parse_unary(p, true);
    }
    const struct level *level = &levels[index];
    struct weir_tpl_node *first = parse_level(p, index + 1), *chain = NULL;
    char op;
    while (ok(p) && skip_level_op(p, level, &op)) {
        struct weir_tpl_node *right = parse_level(p, index + 1);
        chain = ok(p) ? extend(p, chain, level->kind, first, op, right) : NULL;
    }
    return chain ? chain : first;
}

static bool skip_comparison(struct weir_tpl_parser *p, char *ret_op)
{
    static const struct level comparisons[] = {
        {WEIR_TPL_NODE_COMPARE,
         {{"==", WEIR_TPL_OP_EQ},
          {"!=", WEIR_TPL_OP_NE},
          {"<=", WEIR_TPL_OP_LE},
          {">=", WEIR_TPL_OP_GE}}},
        {WEIR_TPL_NODE_COMPARE, {{"<", WEIR_TPL_OP_LT}, {">", WEIR_TPL_OP_GT}}},
    };
    if (skip_level_op(p, &comparisons[0], ret_op) || skip_level_op(p, &comparisons[1], ret_op)) {
        return true;
    }
    if (weir_tpl_parse_skip_name(p, "in")) {
        *ret_op = WEIR_TPL_OP_IN;
        return true;
    }
    const struct weir_tpl_token *next = p->token + (p->token->kind != WEIR_TPL_TOKEN_END);
    if (weir_tpl_parse_at_name(p, "not") && next->kind == WEIR_TPL_TOKEN_NAME &&
        weir_str_is(next->text, "in")) {
        weir_tpl_parse_next(p);
        weir_tpl_parse_next(p);
        *ret_op = WEIR_TPL_OP_NOT_IN;
        return true;
    }
    return false;
}

static struct weir_tpl_node *parse_compare(struct weir_tpl_parser *p)
{
    struct weir_tpl_node *first = parse_level(p, 0), *chain = NULL;
    char op;
    while (ok(p) && skip_comparison(p, &op)) {
        struct weir_tpl_node *right = parse_level(p, 0);
        chain = ok(p) ? extend(p, chain, WEIR_TPL_NODE_COMPARE, first, op, right) : NULL;
    }
    return chain ? chain : first;
}

static struct weir_tpl_node *parse_not(struct weir_tpl_parser *p)
{
    if (!weir_tpl_parse_at_name(p, "not")) {
        return parse_compare(p);
    }
    struct weir_tpl_node *node = weir_tpl_parse_node(p, WEIR_TPL_NODE_NOT);
    weir_tpl_parse_next(p);
    if (!weir_tpl_parse_enter(p)) {
        return NULL;
    }
    struct weir_tpl_node *operand = parse_not(p);
    weir_tpl_parse_leave(p);
    if (node) {
        node->a = operand;
    }
    return node;
}

static struct weir_tpl_node *parse_and(struct weir_tpl_parser *p)
{
    struct weir_tpl_node *first = parse_not(p), *node = NULL;
    while (weir_tpl_parse_skip_name(p, "and")) {
        struct weir_tpl_node *right = parse_not(p);
        node = ok(p) ? extend(p, node, WEIR_TPL_NODE_AND, first, 0, right) : NULL;
    }
    return node ? node : first;
}

struct weir_tpl_node *weir_tpl_parse_or(struct weir_tpl_parser *p)
{
    struct weir_tpl_node *first = parse_and(p), *node = NULL;
    while (weir_tpl_parse_skip_name(p, "or")) {
        struct weir_tpl_node *right = parse_and(p);
        node = ok(p) ? extend(p, node, WEIR_TPL_NODE_OR, first, 0, right) : NULL;
    }
    return node ? node : first;
}

struct weir_tpl_node *weir_tpl_parse_expression(struct weir_tpl_parser *p)
{
    if (!weir_tpl_parse_enter(p)) {
        return NULL;
    }
    struct weir_tpl_node *value = weir_tpl_parse_or(p);
    while (weir_tpl_parse_skip_name(p, "if")) {
        struct weir_tpl_node *node = weir_tpl_parse_node(p, WEIR_TPL_NODE_CHOOSE);
        struct weir_tpl_node *condition = weir_tpl_parse_or(p);
        struct weir_tpl_node *otherwise =
            weir_tpl_parse_skip_name(p, "else") ? weir_tpl_parse_expression(p) : NULL;
        if (!ok(p)) {
            break;
        }
        node->a = value;
        node->b = condition;
        node->c = otherwise;
        value = node;
    }
    weir_tpl_parse_leave(p);
    return value;
}

/* Can no further element follow here? */
static bool at_tuple_end(const struct weir_tpl_parser *p)
{
    return !ok(p) || p->token->kind == WEIR_TPL_TOKEN_PRINT_END ||
           p->token->kind == WEIR_TPL_TOKEN_BLOCK_END || weir_tpl_parse_at_op(p, ")") ||
           weir_tpl_parse_at_op(p, "]") || weir_tpl_parse_at_op(p, ":");
}

struct weir_tpl_node *weir_tpl_parse_tuple(struct weir_tpl_parser *p, bool with_ternary)
{
    struct weir_tpl_node *tuple = NULL;
    struct weir_tpl_node *first =
        with_ternary ? weir_tpl_parse_expression(p) : weir_tpl_parse_or(p);
    while (weir_tpl_parse_skip_op(p, ",")) {
        if (!tuple) {
            tuple = weir_tpl_parse_node(p, WEIR_TPL_NODE_TUPLE);
            if (!tuple) {
                return NULL;
            }
            weir_tpl_parse_add_kid(p, tuple, first);
        }
        if (at_tuple_end(p)) {
            break;
        }
        weir_tpl_parse_add_kid(p, tuple,
                               with_ternary ? weir_tpl_parse_expression(p) : weir_tpl_parse_or(p));
    }
    return tuple ? tuple : first;
}
