/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/template/filter.h"
#include "engine/template/is_test.h"
#include "run.h"

static struct weir_tpl_value nothing(void)
{
    return weir_tpl_undefined((weir_str){NULL, 0});
}

static struct weir_tpl_value eval_list(struct weir_tpl_run *run, const struct weir_tpl_node *node)
{
    struct weir_tpl_list *list = weir_tpl_new_list(
        run, node->n_kids,
        node->kind == WEIR_TPL_NODE_TUPLE ? WEIR_TPL_FORM_TUPLE : WEIR_TPL_FORM_LIST);
    for (uint32_t i = 0; list && i < node->n_kids; i++) {
        list->items[i] = weir_tpl_eval(run, node->kids[i]);
    }
    return list ? weir_tpl_list_value(list) : nothing();
}

static struct weir_tpl_value eval_dict(struct weir_tpl_run *run, const struct weir_tpl_node *node)
{
    struct weir_tpl_dict *d = weir_tpl_dict_create(&run->arena, node->n_kids / 2);
    for (uint32_t i = 0; d && i + 1 < node->n_kids; i += 2) {
        struct weir_tpl_value key = weir_tpl_eval(run, node->kids[i]);
        struct weir_tpl_value value = weir_tpl_eval(run, node->kids[i + 1]);
        if (key.kind == WEIR_TPL_DICT ||
            (key.kind == WEIR_TPL_LIST && key.list->form != WEIR_TPL_FORM_TUPLE)) {
            return weir_tpl_run_fail(run, WEIR_E_ARG, "a %s cannot be a key",
                                     weir_tpl_type_name(&key));
        }
        if (!weir_tpl_dict_set(&run->arena, d, key, value, &run->steps)) {
            d = NULL;
        }
    }
    return d ? weir_tpl_dict_value(d) : weir_tpl_run_no_memory(run);
}

static struct weir_tpl_value eval_chain(struct weir_tpl_run *run, const struct weir_tpl_node *node)
{
    struct weir_tpl_value value = weir_tpl_eval(run, node->kids[0]);
    for (uint32_t i = 1; i < node->n_kids && run->code == 0; i++) {
        struct weir_tpl_value right = weir_tpl_eval(run, node->kids[i]);
        value = weir_tpl_operate(run, (enum weir_tpl_op)node->text.p[i - 1], value, right);
    }
    return value;
}

static struct weir_tpl_value eval_compare(struct weir_tpl_run *run,
                                          const struct weir_tpl_node *node)
{
    struct weir_tpl_value left = weir_tpl_eval(run, node->kids[0]);
    bool holds = true;
    for (uint32_t i = 1; i < node->n_kids && holds && run->code == 0; i++) {
        struct weir_tpl_value right = weir_tpl_eval(run, node->kids[i]);
        holds = run->code == 0 &&
                weir_tpl_compare(run, (enum weir_tpl_op)node->text.p[i - 1], left, right);
        left = right;
    }
    return weir_tpl_bool(holds);
}

static struct weir_tpl_value eval_concat(struct weir_tpl_run *run, const struct weir_tpl_node *node)
{
    struct weir_tpl_list *parts = weir_tpl_new_list(run, node->n_kids, WEIR_TPL_FORM_LIST);
    if (!parts) {
        return nothing();
    }
    /* All parts first: a macro among them captures output of its own. */
    for (uint32_t i = 0; i < node->n_kids; i++) {
        parts->items[i] = weir_tpl_eval(run, node->kids[i]);
    }
    size_t begin = weir_tpl_capture_begin(run);
    for (uint32_t i = 0; i < node->n_kids && run->code == 0; i++) {
        weir_tpl_print(run, parts->items[i]);
    }
    return weir_tpl_capture_end(run, begin);
}

/* The first operand that decides, as Python's `and` and `or` return it. */
static struct weir_tpl_value eval_logic(struct weir_tpl_run *run, const struct weir_tpl_node *node)
{
    bool stop_at = node->kind == WEIR_TPL_NODE_OR;
    struct weir_tpl_value value = nothing();
    for (uint32_t i = 0; i < node->n_kids && run->code == 0; i++) {
        value = weir_tpl_eval(run, node->kids[i]);
        if (weir_tpl_is_true(&value) == stop_at) {
            break;
        }
    }
    return value;
}

static struct weir_tpl_value eval_sign(struct weir_tpl_run *run, const struct weir_tpl_node *node)
{
    struct weir_tpl_value v = weir_tpl_eval(run, node->a);
    struct weir_tpl_value sign = weir_tpl_int(node->kind == WEIR_TPL_NODE_NEGATE ? -1 : 1);
    if (!weir_tpl_is_number(&v) && v.kind != WEIR_TPL_UNDEFINED) {
        sign = weir_tpl_none(); /* a string times a number would be repetition */
    }
    return weir_tpl_operate(run, WEIR_TPL_OP_MUL, sign, v);
}

static struct weir_tpl_value eval_choose(struct weir_tpl_run *run, const struct weir_tpl_node *node)
{
    struct weir_tpl_value condition = weir_tpl_eval(run, node->b);
    const struct weir_tpl_node *chosen = weir_tpl_is_true(&condition) ? node->a : node->c;
    return chosen ? weir_tpl_eval(run, chosen)
                  : weir_tpl_undefined((weir_str)WEIR_STR_INIT("the inline if-expression"));
}

static struct weir_tpl_value eval_slice(struct weir_tpl_run *run, const struct weir_tpl_node *node)
{
    struct weir_tpl_value of = weir_tpl_eval(run, node->a);
    struct weir_tpl_value bounds[3] = {weir_tpl_none(), weir_tpl_none(), weir_tpl_none()};
    for (uint32_t i = 0; i < node->n_kids && i < 3; i++) {
        if (node->kids[i]) {
            bounds[i] = weir_tpl_eval(run, node->kids[i]);
        }
    }
    return run->code == 0 ? weir_tpl_slice(run, of, bounds) : nothing();
}

/* Evaluates the arguments of a call, filter or test. False after an error. */
static bool eval_args(struct weir_tpl_run *run, const struct weir_tpl_node *node,
                      struct weir_tpl_args *ret_args)
{
    *ret_args = (struct weir_tpl_args){.n = node->n_kids};
    if (node->n_kids == 0) {
        return true;
    }
    struct weir_tpl_value *values = weir_arena_array(&run->arena, node->n_kids, sizeof(*values));
    weir_str *names = weir_arena_array(&run->arena, node->n_kids, sizeof(*names));
    if (!values || !names) {
        (void)weir_tpl_run_no_memory(run);
        return false;
    }
    for (uint32_t i = 0; i < node->n_kids; i++) {
        const struct weir_tpl_node *arg = node->kids[i];
        bool named = arg->kind == WEIR_TPL_NODE_KEYWORD;
        names[i] = named ? arg->text : (weir_str){NULL, 0};
        values[i] = weir_tpl_eval(run, named ? arg->a : arg);
        ret_args->n_plain += !named;
    }
    ret_args->values = values;
    ret_args->names = names;
    return run->code == 0;
}

static struct weir_tpl_value eval_call(struct weir_tpl_run *run, const struct weir_tpl_node *node)
{
    struct weir_tpl_value callee = weir_tpl_eval(run, node->a);
    struct weir_tpl_args args;
    if (!eval_args(run, node, &args)) {
        return nothing();
    }
    run->line = node->line;
    return weir_tpl_call(run, callee, &args);
}

struct weir_tpl_value weir_tpl_eval_call_with(struct weir_tpl_run *run,
                                              const struct weir_tpl_node *call,
                                              const struct weir_tpl_macro *caller)
{
    struct weir_tpl_value callee = weir_tpl_eval(run, call->a);
    struct weir_tpl_args args;
    if (!eval_args(run, call, &args)) {
        return nothing();
    }
    return callee.kind == WEIR_TPL_MACRO
               ? weir_tpl_call_macro(run, callee.macro, &args, caller)
               : weir_tpl_run_fail(run, WEIR_E_ARG, "a call block needs a macro");
}

static struct weir_tpl_value unknown(struct weir_tpl_run *run, const char *what, weir_str name)
{
    return weir_tpl_run_fail(run, WEIR_E_UNSUPPORTED, "no %s named '%.*s'", what,
                             (int)(name.n < 100 ? name.n : 100), name.p);
}

static struct weir_tpl_value eval_filter(struct weir_tpl_run *run, const struct weir_tpl_node *node)
{
    struct weir_tpl_value in = weir_tpl_eval(run, node->a);
    struct weir_tpl_args args;
    if (!eval_args(run, node, &args)) {
        return nothing();
    }
    run->line = node->line;
    return node->filter ? node->filter->apply(run, in, &args) : unknown(run, "filter", node->text);
}

static struct weir_tpl_value eval_test(struct weir_tpl_run *run, const struct weir_tpl_node *node)
{
    struct weir_tpl_value in = weir_tpl_eval(run, node->a);
    struct weir_tpl_args args;
    if (!eval_args(run, node, &args)) {
        return nothing();
    }
    return node->test ? weir_tpl_bool(node->test->holds(run, in, &args))
                      : unknown(run, "test", node->text);
}

static struct weir_tpl_value eval_node(struct weir_tpl_run *run, const struct weir_tpl_node *node)
{
    switch (node->kind) {
    case WEIR_TPL_NODE_CONST: return node->value;
    case WEIR_TPL_NODE_NAME: return weir_tpl_scope_get(run, node->text);
    case WEIR_TPL_NODE_LIST:
    case WEIR_TPL_NODE_TUPLE: return eval_list(run, node);
    case WEIR_TPL_NODE_DICT: return eval_dict(run, node);
    case WEIR_TPL_NODE_CHAIN: return eval_chain(run, node);
    case WEIR_TPL_NODE_COMPARE: return eval_compare(run, node);
    case WEIR_TPL_NODE_CONCAT: return eval_concat(run, node);
    case WEIR_TPL_NODE_AND:
    case WEIR_TPL_NODE_OR: return eval_logic(run, node);
    case WEIR_TPL_NODE_NOT: {
        struct weir_tpl_value v = weir_tpl_eval(run, node->a);
        return weir_tpl_bool(!weir_tpl_is_true(&v));
    }
    case WEIR_TPL_NODE_NEGATE:
    case WEIR_TPL_NODE_PLUS: return eval_sign(run, node);
    case WEIR_TPL_NODE_CHOOSE: return eval_choose(run, node);
    case WEIR_TPL_NODE_ATTR: return weir_tpl_attr(run, weir_tpl_eval(run, node->a), node->text);
    case WEIR_TPL_NODE_ITEM: {
        struct weir_tpl_value of = weir_tpl_eval(run, node->a);
        return weir_tpl_item(run, of, weir_tpl_eval(run, node->b));
    }
    case WEIR_TPL_NODE_SLICE: return eval_slice(run, node);
    case WEIR_TPL_NODE_CALL: return eval_call(run, node);
    case WEIR_TPL_NODE_FILTER: return eval_filter(run, node);
    case WEIR_TPL_NODE_TEST: return eval_test(run, node);
    case WEIR_TPL_NODE_CAPTURED: return run->captured;
    default: return nothing();
    }
}

struct weir_tpl_value weir_tpl_eval(struct weir_tpl_run *run, const struct weir_tpl_node *node)
{
    if (!weir_tpl_run_spend(run, 1)) {
        return nothing();
    }
    run->line = node->line;
    if (run->depth == WEIR_TPL_MAX_RUN_DEPTH) {
        return weir_tpl_run_fail(run, WEIR_E_TOOBIG, "macros or expressions nest too deeply");
    }
    run->depth++;
    struct weir_tpl_value v = eval_node(run, node);
    run->depth--;
    return v;
}
