/* SPDX-License-Identifier: Apache-2.0 */
#include "parser.h"

#include <stdarg.h>
#include <stdio.h>

struct weir_tpl_node *weir_tpl_parse_fail(struct weir_tpl_parser *p, int code, const char *fmt, ...)
{
    if (p->code == 0) {
        char what[300];
        va_list ap;
        va_start(ap, fmt);
        (void)vsnprintf(what, sizeof(what), fmt, ap);
        va_end(ap);
        p->code = weir_error_set(p->err, code, "line %u: %s", p->token->line, what);
    }
    return NULL;
}

static const char *token_name(const struct weir_tpl_token *t)
{
    switch (t->kind) {
    case WEIR_TPL_TOKEN_END: return "the end of the template";
    case WEIR_TPL_TOKEN_DATA: return "text";
    default: return NULL;
    }
}

static struct weir_tpl_node *fail_expected(struct weir_tpl_parser *p, const char *expected)
{
    const char *name = token_name(p->token);
    return name ? weir_tpl_parse_fail(p, WEIR_E_FORMAT, "%s expected, found %s", expected, name)
                : weir_tpl_parse_fail(p, WEIR_E_FORMAT, "%s expected, found '%.*s'", expected,
                                      (int)(p->token->text.n < 60 ? p->token->text.n : 60),
                                      p->token->text.p ? p->token->text.p : "");
}

struct weir_tpl_node *weir_tpl_parse_node(struct weir_tpl_parser *p, enum weir_tpl_node_kind kind)
{
    if (p->code < 0) {
        return NULL;
    }
    if (++p->n_nodes > WEIR_TPL_MAX_NODES) {
        return weir_tpl_parse_fail(p, WEIR_E_TOOBIG, "the template has more than %d parts",
                                   WEIR_TPL_MAX_NODES);
    }
    struct weir_tpl_node *node = weir_arena_alloc(p->arena, sizeof(*node));
    if (!node) {
        return weir_tpl_parse_fail(p, WEIR_E_NOMEM, "the template is too large");
    }
    node->kind = kind;
    node->line = p->token->line;
    return node;
}

void weir_tpl_parse_add_kid(struct weir_tpl_parser *p, struct weir_tpl_node *node,
                            struct weir_tpl_node *kid)
{
    if (p->code < 0) {
        return;
    }
    /* The capacity is the power of two at or above n_kids, from 4 on. */
    uint32_t n = node->n_kids;
    if (n == 0 || (n >= 4 && (n & (n - 1)) == 0)) {
        struct weir_tpl_node **kids = weir_arena_array(p->arena, n ? n * 2 : 4, sizeof(*kids));
        if (!kids) {
            weir_tpl_parse_fail(p, WEIR_E_NOMEM, "the template is too large");
            return;
        }
        if (n) {
            memcpy(kids, node->kids, n * sizeof(*kids));
        }
        node->kids = kids;
    }
    node->kids[node->n_kids++] = kid;
}

bool weir_tpl_parse_enter(struct weir_tpl_parser *p)
{
    if (p->code < 0) {
        return false;
    }
    if (p->depth == WEIR_TPL_MAX_SYNTAX_DEPTH) {
        weir_tpl_parse_fail(p, WEIR_E_TOOBIG, "blocks and brackets nest deeper than %d levels",
                            WEIR_TPL_MAX_SYNTAX_DEPTH);
        return false;
    }
    p->depth++;
    return true;
}

void weir_tpl_parse_leave(struct weir_tpl_parser *p)
{
    p->depth--;
}

void weir_tpl_parse_next(struct weir_tpl_parser *p)
{
    p->token += p->token->kind != WEIR_TPL_TOKEN_END;
}

bool weir_tpl_parse_at_op(const struct weir_tpl_parser *p, const char *op)
{
    return p->code == 0 && p->token->kind == WEIR_TPL_TOKEN_OP && weir_str_is(p->token->text, op);
}

bool weir_tpl_parse_at_name(const struct weir_tpl_parser *p, const char *name)
{
    return p->code == 0 && p->token->kind == WEIR_TPL_TOKEN_NAME &&
           weir_str_is(p->token->text, name);
}

bool weir_tpl_parse_skip_op(struct weir_tpl_parser *p, const char *op)
{
    bool here = weir_tpl_parse_at_op(p, op);
    if (here) {
        weir_tpl_parse_next(p);
    }
    return here;
}

bool weir_tpl_parse_skip_name(struct weir_tpl_parser *p, const char *name)
{
    bool here = weir_tpl_parse_at_name(p, name);
    if (here) {
        weir_tpl_parse_next(p);
    }
    return here;
}

bool weir_tpl_parse_expect_op(struct weir_tpl_parser *p, const char *op)
{
    if (weir_tpl_parse_skip_op(p, op)) {
        return true;
    }
    char quoted[8];
    (void)snprintf(quoted, sizeof(quoted), "'%s'", op);
    fail_expected(p, quoted);
    return false;
}

weir_str weir_tpl_parse_expect_name(struct weir_tpl_parser *p)
{
    if (p->code == 0 && p->token->kind == WEIR_TPL_TOKEN_NAME) {
        weir_str name = p->token->text;
        weir_tpl_parse_next(p);
        return name;
    }
    fail_expected(p, "a name");
    return (weir_str){NULL, 0};
}

static void expect_block_end(struct weir_tpl_parser *p)
{
    if (p->code == 0 && p->token->kind == WEIR_TPL_TOKEN_BLOCK_END) {
        weir_tpl_parse_next(p);
    } else {
        fail_expected(p, "'%}'");
    }
}

static struct weir_tpl_node *parse_statement(struct weir_tpl_parser *p);

/* Is the current token a tag whose name is in `ends`, a list with a bar behind each name? */
static bool at_end_tag(const struct weir_tpl_parser *p, const char *ends)
{
    const struct weir_tpl_token *name = p->token + 1;
    if (p->token->kind != WEIR_TPL_TOKEN_BLOCK_BEGIN || name->kind != WEIR_TPL_TOKEN_NAME) {
        return false;
    }
    for (const char *end = ends; *end;) {
        size_t n = strcspn(end, "|");
        if (weir_str_eq(name->text, (weir_str){end, n})) {
            return true;
        }
        end += n + 1;
    }
    return false;
}

/* Statements up to a tag whose name is in `ends` ("" for the end of the template). Afterwards the
 * current token is that name. */
static struct weir_tpl_node *parse_body(struct weir_tpl_parser *p, const char *ends)
{
    struct weir_tpl_node *body = weir_tpl_parse_node(p, WEIR_TPL_NODE_BLOCK);
    if (!weir_tpl_parse_enter(p)) {
        return NULL;
    }
    while (p->code == 0 && !at_end_tag(p, ends)) {
        if (p->token->kind == WEIR_TPL_TOKEN_END) {
            if (*ends) {
                weir_tpl_parse_fail(p, WEIR_E_FORMAT, "a tag is not closed, '%.*s' expected",
                                    (int)strcspn(ends, "|"), ends);
            }
            break;
        }
        weir_tpl_parse_add_kid(p, body, parse_statement(p));
    }
    weir_tpl_parse_leave(p);
    if (p->code == 0 && *ends) {
        weir_tpl_parse_next(p);
    }
    return body;
}

static struct weir_tpl_node *parse_print(struct weir_tpl_parser *p)
{
    struct weir_tpl_node *node = weir_tpl_parse_node(p, WEIR_TPL_NODE_PRINT);
    weir_tpl_parse_next(p);
    struct weir_tpl_node *value = weir_tpl_parse_tuple(p, true);
    if (p->code < 0) {
        return NULL;
    }
    if (p->token->kind != WEIR_TPL_TOKEN_PRINT_END) {
        return fail_expected(p, "'}}'");
    }
    weir_tpl_parse_next(p);
    node->a = value;
    return node;
}

/* A name, a.b, or names with commas, to assign to. */
static struct weir_tpl_node *parse_target(struct weir_tpl_parser *p, bool with_namespace)
{
    bool paren = weir_tpl_parse_skip_op(p, "(");
    struct weir_tpl_node *tuple = NULL, *target = NULL;
    while (p->code == 0) {
        target = weir_tpl_parse_node(p, WEIR_TPL_NODE_NAME);
        weir_str name = weir_tpl_parse_expect_name(p);
        if (!target || p->code < 0) {
            return NULL;
        }
        target->text = name;
        if (with_namespace && weir_tpl_parse_skip_op(p, ".")) {
            struct weir_tpl_node *attr = weir_tpl_parse_node(p, WEIR_TPL_NODE_ATTR);
            weir_str field = weir_tpl_parse_expect_name(p);
            if (!attr) {
                return NULL;
            }
            attr->a = target;
            attr->text = field;
            target = attr;
        }
        bool more = weir_tpl_parse_skip_op(p, ",");
        if (more && !tuple) {
            tuple = weir_tpl_parse_node(p, WEIR_TPL_NODE_TUPLE);
        }
        if (tuple) {
            weir_tpl_parse_add_kid(p, tuple, target);
        }
        if (!more || p->token->kind != WEIR_TPL_TOKEN_NAME || weir_tpl_parse_at_name(p, "in")) {
            break;
        }
    }
    if (paren) {
        weir_tpl_parse_expect_op(p, ")");
    }
    return tuple ? tuple : target;
}

static struct weir_tpl_node *parse_if(struct weir_tpl_parser *p)
{
    struct weir_tpl_node *node = weir_tpl_parse_node(p, WEIR_TPL_NODE_IF);
    while (p->code == 0) {
        weir_tpl_parse_add_kid(p, node, weir_tpl_parse_tuple(p, false));
        expect_block_end(p);
        weir_tpl_parse_add_kid(p, node, parse_body(p, "endif|elif|else|"));
        if (weir_tpl_parse_skip_name(p, "elif")) {
            continue;
        }
        if (weir_tpl_parse_skip_name(p, "else")) {
            expect_block_end(p);
            struct weir_tpl_node *otherwise = parse_body(p, "endif|");
            if (p->code < 0) {
                return NULL;
            }
            node->b = otherwise;
        }
        weir_tpl_parse_skip_name(p, "endif");
        break;
    }
    return node;
}

static struct weir_tpl_node *parse_for(struct weir_tpl_parser *p)
{
    struct weir_tpl_node *node = weir_tpl_parse_node(p, WEIR_TPL_NODE_FOR);
    struct weir_tpl_node *target = parse_target(p, false);
    if (p->code == 0 && !weir_tpl_parse_skip_name(p, "in")) {
        return fail_expected(p, "'in'");
    }
    struct weir_tpl_node *source = weir_tpl_parse_tuple(p, false);
    struct weir_tpl_node *condition =
        weir_tpl_parse_skip_name(p, "if") ? weir_tpl_parse_expression(p) : NULL;
    if (weir_tpl_parse_at_name(p, "recursive")) {
        return weir_tpl_parse_fail(p, WEIR_E_UNSUPPORTED, "recursive loops are not supported");
    }
    expect_block_end(p);
    p->n_loops++;
    struct weir_tpl_node *body = parse_body(p, "endfor|else|");
    p->n_loops--;
    struct weir_tpl_node *otherwise = NULL;
    if (weir_tpl_parse_skip_name(p, "else")) {
        expect_block_end(p);
        otherwise = parse_body(p, "endfor|");
    }
    if (p->code < 0) {
        return NULL;
    }
    weir_tpl_parse_skip_name(p, "endfor");
    node->a = target;
    node->b = source;
    node->c = condition;
    weir_tpl_parse_add_kid(p, node, body);
    weir_tpl_parse_add_kid(p, node, otherwise);
    return node;
}

static struct weir_tpl_node *parse_set(struct weir_tpl_parser *p)
{
    struct weir_tpl_node *node = weir_tpl_parse_node(p, WEIR_TPL_NODE_SET);
    struct weir_tpl_node *target = parse_target(p, true);
    if (p->code < 0) {
        return NULL;
    }
    node->a = target;
    if (weir_tpl_parse_skip_op(p, "=")) {
        node->b = weir_tpl_parse_tuple(p, true);
        return node;
    }
    node->kind = WEIR_TPL_NODE_SET_BLOCK;
    if (weir_tpl_parse_at_op(p, "|")) {
        node->c = weir_tpl_parse_filters(p, weir_tpl_parse_node(p, WEIR_TPL_NODE_CAPTURED), false);
    }
    expect_block_end(p);
    node->b = parse_body(p, "endset|");
    weir_tpl_parse_skip_name(p, "endset");
    return node;
}

static void parse_params(struct weir_tpl_parser *p, struct weir_tpl_node *node)
{
    bool defaults = false;
    weir_tpl_parse_expect_op(p, "(");
    while (p->code == 0 && !weir_tpl_parse_at_op(p, ")")) {
        if (node->n_kids) {
            weir_tpl_parse_expect_op(p, ",");
        }
        struct weir_tpl_node *param = weir_tpl_parse_node(p, WEIR_TPL_NODE_PARAM);
        weir_str name = weir_tpl_parse_expect_name(p);
        if (p->code < 0) {
            return;
        }
        param->text = name;
        if (weir_tpl_parse_skip_op(p, "=")) {
            param->a = weir_tpl_parse_expression(p);
            defaults = true;
        } else if (defaults) {
            fail_expected(p, "a default value");
        }
        weir_tpl_parse_add_kid(p, node, param);
    }
    weir_tpl_parse_expect_op(p, ")");
}

static struct weir_tpl_node *parse_macro(struct weir_tpl_parser *p)
{
    struct weir_tpl_node *node = weir_tpl_parse_node(p, WEIR_TPL_NODE_MACRO);
    weir_str name = weir_tpl_parse_expect_name(p);
    if (p->code < 0) {
        return NULL;
    }
    node->text = name;
    parse_params(p, node);
    expect_block_end(p);
    unsigned n_loops = p->n_loops;
    p->n_loops = 0;
    node->b = parse_body(p, "endmacro|");
    p->n_loops = n_loops;
    weir_tpl_parse_skip_name(p, "endmacro");
    if (p->token->kind == WEIR_TPL_TOKEN_NAME) {
        weir_tpl_parse_next(p); /* the name may be repeated */
    }
    return node;
}

static struct weir_tpl_node *parse_call_block(struct weir_tpl_parser *p)
{
    struct weir_tpl_node *node = weir_tpl_parse_node(p, WEIR_TPL_NODE_CALL_BLOCK);
    if (!node) {
        return NULL;
    }
    node->text = (weir_str)WEIR_STR_INIT("caller");
    if (weir_tpl_parse_at_op(p, "(")) {
        parse_params(p, node);
    }
    node->a = weir_tpl_parse_postfix(p);
    if (p->code == 0 && node->a->kind != WEIR_TPL_NODE_CALL) {
        return fail_expected(p, "a call");
    }
    expect_block_end(p);
    unsigned n_loops = p->n_loops;
    p->n_loops = 0;
    node->b = parse_body(p, "endcall|");
    p->n_loops = n_loops;
    weir_tpl_parse_skip_name(p, "endcall");
    return node;
}

static struct weir_tpl_node *parse_filter_block(struct weir_tpl_parser *p)
{
    struct weir_tpl_node *node = weir_tpl_parse_node(p, WEIR_TPL_NODE_FILTER_BLOCK);
    struct weir_tpl_node *filters =
        weir_tpl_parse_filters(p, weir_tpl_parse_node(p, WEIR_TPL_NODE_CAPTURED), true);
    expect_block_end(p);
    struct weir_tpl_node *body = parse_body(p, "endfilter|");
    if (p->code < 0) {
        return NULL;
    }
    weir_tpl_parse_skip_name(p, "endfilter");
    node->c = filters;
    node->b = body;
    return node;
}

static struct weir_tpl_node *parse_with(struct weir_tpl_parser *p)
{
    struct weir_tpl_node *node = weir_tpl_parse_node(p, WEIR_TPL_NODE_WITH);
    while (p->code == 0 && p->token->kind != WEIR_TPL_TOKEN_BLOCK_END) {
        if (node->n_kids) {
            weir_tpl_parse_expect_op(p, ",");
        }
        struct weir_tpl_node *set = weir_tpl_parse_node(p, WEIR_TPL_NODE_SET);
        struct weir_tpl_node *target = parse_target(p, false);
        weir_tpl_parse_expect_op(p, "=");
        struct weir_tpl_node *value = weir_tpl_parse_expression(p);
        if (p->code < 0) {
            return NULL;
        }
        set->a = target;
        set->b = value;
        weir_tpl_parse_add_kid(p, node, set);
    }
    expect_block_end(p);
    struct weir_tpl_node *body = parse_body(p, "endwith|");
    if (p->code < 0) {
        return NULL;
    }
    weir_tpl_parse_skip_name(p, "endwith");
    node->b = body;
    return node;
}

/* transformers marks what the assistant said; the text itself is unchanged. */
static struct weir_tpl_node *parse_generation(struct weir_tpl_parser *p)
{
    struct weir_tpl_node *node = weir_tpl_parse_node(p, WEIR_TPL_NODE_WITH);
    expect_block_end(p);
    struct weir_tpl_node *body = parse_body(p, "endgeneration|");
    if (p->code < 0) {
        return NULL;
    }
    weir_tpl_parse_skip_name(p, "endgeneration");
    node->b = body;
    return node;
}

static struct weir_tpl_node *parse_jump(struct weir_tpl_parser *p, enum weir_tpl_node_kind kind)
{
    return p->n_loops
               ? weir_tpl_parse_node(p, kind)
               : weir_tpl_parse_fail(p, WEIR_E_FORMAT, "break and continue belong inside a loop");
}

static struct weir_tpl_node *parse_break(struct weir_tpl_parser *p)
{
    return parse_jump(p, WEIR_TPL_NODE_BREAK);
}

static struct weir_tpl_node *parse_continue(struct weir_tpl_parser *p)
{
    return parse_jump(p, WEIR_TPL_NODE_CONTINUE);
}

static struct weir_tpl_node *parse_unsupported(struct weir_tpl_parser *p)
{
    return weir_tpl_parse_fail(p, WEIR_E_UNSUPPORTED,
                               "tags that need other templates are not supported");
}

static const struct {
    const char *name;
    struct weir_tpl_node *(*parse)(struct weir_tpl_parser *p);
} tags[] = {
    {"if", parse_if},
    {"for", parse_for},
    {"set", parse_set},
    {"macro", parse_macro},
    {"call", parse_call_block},
    {"filter", parse_filter_block},
    {"with", parse_with},
    {"generation", parse_generation},
    {"break", parse_break},
    {"continue", parse_continue},
    {"include", parse_unsupported},
    {"import", parse_unsupported},
    {"from", parse_unsupported},
    {"extends", parse_unsupported},
    {"block", parse_unsupported},
};

static struct weir_tpl_node *parse_tag(struct weir_tpl_parser *p)
{
    weir_tpl_parse_next(p);
    weir_str name = weir_tpl_parse_expect_name(p);
    for (size_t i = 0; i < sizeof(tags) / sizeof(*tags); i++) {
        if (name.p && weir_str_is(name, tags[i].name)) {
            struct weir_tpl_node *node = tags[i].parse(p);
            expect_block_end(p);
            return node;
        }
    }
    return weir_tpl_parse_fail(p, WEIR_E_FORMAT, "unknown tag '%.*s'",
                               (int)(name.n < 60 ? name.n : 60), name.p ? name.p : "");
}

static struct weir_tpl_node *parse_statement(struct weir_tpl_parser *p)
{
    if (p->token->kind == WEIR_TPL_TOKEN_PRINT_BEGIN) {
        return parse_print(p);
    }
    if (p->token->kind == WEIR_TPL_TOKEN_BLOCK_BEGIN) {
        return parse_tag(p);
    }
    struct weir_tpl_node *data = weir_tpl_parse_node(p, WEIR_TPL_NODE_DATA);
    if (data) {
        data->text = p->token->text;
        weir_tpl_parse_next(p);
    }
    return data;
}

int weir_tpl_parse(struct weir_arena *a, const struct weir_tpl_tokens *tokens,
                   struct weir_tpl_node **ret_root, struct weir_error *err)
{
    struct weir_tpl_parser p = {.arena = a, .err = err, .token = tokens->items};
    struct weir_tpl_node *root = parse_body(&p, "");
    if (p.code == 0) {
        *ret_root = root;
    }
    return p.code;
}
