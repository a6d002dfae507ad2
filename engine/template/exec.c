/* SPDX-License-Identifier: Apache-2.0 */
#include "run.h"

/* What a statement asks of the loop around it. */
enum jump { JUMP_NONE, JUMP_BREAK, JUMP_CONTINUE };

static enum jump exec_block(struct weir_tpl_run *run, const struct weir_tpl_node *block);

static struct weir_tpl_scope *push_scope(struct weir_tpl_run *run)
{
    struct weir_tpl_scope *scope = weir_arena_alloc(&run->arena, sizeof(*scope));
    if (!scope) {
        (void)weir_tpl_run_no_memory(run);
        return NULL;
    }
    scope->outer = run->scope;
    run->scope = scope;
    return scope;
}

static void pop_scope(struct weir_tpl_run *run)
{
    run->scope = run->scope->outer;
}

static enum jump exec_scoped(struct weir_tpl_run *run, const struct weir_tpl_node *block)
{
    if (!push_scope(run)) {
        return JUMP_NONE;
    }
    enum jump jump = exec_block(run, block);
    pop_scope(run);
    return jump;
}

/* namespace.field = value */
static void assign_field(struct weir_tpl_run *run, const struct weir_tpl_node *target,
                         struct weir_tpl_value value)
{
    struct weir_tpl_value owner = weir_tpl_eval(run, target->a);
    if (run->code < 0) {
        return;
    }
    if (owner.kind != WEIR_TPL_NAMESPACE) {
        (void)weir_tpl_run_fail(run, WEIR_E_ARG, "only a namespace's fields can be set");
        return;
    }
    if (!weir_tpl_dict_set(&run->arena, owner.dict, weir_tpl_str(target->text), value,
                           &run->steps)) {
        (void)weir_tpl_run_no_memory(run);
    }
}

static void assign_one(struct weir_tpl_run *run, const struct weir_tpl_node *target,
                       struct weir_tpl_value value)
{
    if (target->kind == WEIR_TPL_NODE_ATTR) {
        assign_field(run, target, value);
    } else {
        (void)weir_tpl_scope_set(run, run->scope, target->text, value);
    }
}

static void assign(struct weir_tpl_run *run, const struct weir_tpl_node *target,
                   struct weir_tpl_value value)
{
    if (run->code < 0) {
        return;
    }
    if (target->kind != WEIR_TPL_NODE_TUPLE) {
        assign_one(run, target, value);
        return;
    }
    const struct weir_tpl_list *values = weir_tpl_iterate(run, value);
    if (values && values->n != target->n_kids) {
        (void)weir_tpl_run_fail(run, WEIR_E_ARG, "%u values expected to unpack, %zu found",
                                target->n_kids, values->n);
        return;
    }
    for (uint32_t i = 0; values && i < target->n_kids; i++) {
        assign_one(run, target->kids[i], values->items[i]);
    }
}

static enum jump exec_if(struct weir_tpl_run *run, const struct weir_tpl_node *node)
{
    for (uint32_t i = 0; i + 1 < node->n_kids; i += 2) {
        struct weir_tpl_value condition = weir_tpl_eval(run, node->kids[i]);
        if (run->code < 0) {
            return JUMP_NONE;
        }
        if (weir_tpl_is_true(&condition)) {
            return exec_block(run, node->kids[i + 1]);
        }
    }
    return node->b ? exec_block(run, node->b) : JUMP_NONE;
}

/* The items for which the loop's condition holds. */
static const struct weir_tpl_list *filter_items(struct weir_tpl_run *run,
                                                const struct weir_tpl_node *node,
                                                const struct weir_tpl_list *items)
{
    struct weir_tpl_list *kept = weir_tpl_new_list(run, items->n, WEIR_TPL_FORM_LIST);
    if (!kept || !push_scope(run)) {
        return NULL;
    }
    kept->n = 0;
    for (size_t i = 0; i < items->n && run->code == 0; i++) {
        assign(run, node->a, items->items[i]);
        struct weir_tpl_value holds = weir_tpl_eval(run, node->c);
        if (weir_tpl_is_true(&holds)) {
            kept->items[kept->n++] = items->items[i];
        }
    }
    pop_scope(run);
    return kept;
}

static void exec_iterations(struct weir_tpl_run *run, const struct weir_tpl_node *node,
                            struct weir_tpl_loop *loop)
{
    struct weir_tpl_scope *scope = push_scope(run);
    if (!scope) {
        return;
    }
    struct weir_tpl_value value = {.kind = WEIR_TPL_LOOP, .loop = loop};
    for (; loop->index < loop->n && weir_tpl_run_spend(run, 1); loop->index++) {
        scope->n = 0; /* every round starts without the last one's variables */
        (void)weir_tpl_scope_set(run, scope, (weir_str)WEIR_STR_INIT("loop"), value);
        assign(run, node->a, loop->items[loop->index]);
        if (exec_block(run, node->kids[0]) == JUMP_BREAK) {
            break;
        }
    }
    pop_scope(run);
}

static enum jump exec_for(struct weir_tpl_run *run, const struct weir_tpl_node *node)
{
    const struct weir_tpl_list *items = weir_tpl_iterate(run, weir_tpl_eval(run, node->b));
    if (items && node->c) {
        items = filter_items(run, node, items);
    }
    if (!items) {
        return JUMP_NONE;
    }
    if (items->n == 0) {
        return node->kids[1] ? exec_scoped(run, node->kids[1]) : JUMP_NONE;
    }
    struct weir_tpl_loop *loop = weir_arena_alloc(&run->arena, sizeof(*loop));
    if (!loop) {
        (void)weir_tpl_run_no_memory(run);
        return JUMP_NONE;
    }
    *loop = (struct weir_tpl_loop){.items = items->items, .n = items->n};
    exec_iterations(run, node, loop);
    return JUMP_NONE;
}

/* Runs a block and keeps its text instead of printing it; filters it when the node says so. */
static struct weir_tpl_value capture(struct weir_tpl_run *run, const struct weir_tpl_node *node,
                                     enum jump *ret_jump)
{
    size_t begin = weir_tpl_capture_begin(run);
    *ret_jump = exec_scoped(run, node->b);
    struct weir_tpl_value text = weir_tpl_capture_end(run, begin);
    if (!node->c || run->code < 0) {
        return text;
    }
    run->captured = text;
    return weir_tpl_eval(run, node->c);
}

static void define_macro(struct weir_tpl_run *run, const struct weir_tpl_node *node)
{
    struct weir_tpl_macro *macro = weir_arena_alloc(&run->arena, sizeof(*macro));
    if (!macro) {
        (void)weir_tpl_run_no_memory(run);
        return;
    }
    *macro = (struct weir_tpl_macro){.node = node, .scope = run->scope};
    (void)weir_tpl_scope_set(run, run->scope, node->text,
                             (struct weir_tpl_value){.kind = WEIR_TPL_MACRO, .macro = macro});
}

/* {% call macro(args) %}body{% endcall %}: the macro finds the body as caller(). */
static void exec_call_block(struct weir_tpl_run *run, const struct weir_tpl_node *node)
{
    struct weir_tpl_scope *scope = push_scope(run);
    if (!scope) {
        return;
    }
    define_macro(run, node);
    struct weir_tpl_value caller = weir_tpl_scope_get(run, node->text);
    pop_scope(run);
    if (run->code == 0) {
        weir_tpl_print(run, weir_tpl_eval_call_with(run, node->a, caller.macro));
    }
}

static enum jump exec_with(struct weir_tpl_run *run, const struct weir_tpl_node *node)
{
    struct weir_tpl_scope *outer = run->scope;
    struct weir_tpl_scope *inner = push_scope(run);
    for (uint32_t i = 0; inner && i < node->n_kids; i++) {
        run->scope = outer; /* the values do not see each other */
        struct weir_tpl_value value = weir_tpl_eval(run, node->kids[i]->b);
        run->scope = inner;
        assign(run, node->kids[i]->a, value);
    }
    enum jump jump = inner ? exec_block(run, node->b) : JUMP_NONE;
    run->scope = outer;
    return jump;
}

static enum jump exec_statement(struct weir_tpl_run *run, const struct weir_tpl_node *node)
{
    enum jump jump = JUMP_NONE;
    switch (node->kind) {
    case WEIR_TPL_NODE_DATA: weir_tpl_print(run, weir_tpl_str(node->text)); break;
    case WEIR_TPL_NODE_PRINT: {
        struct weir_tpl_value v = weir_tpl_eval(run, node->a);
        if (run->code == 0) {
            weir_tpl_print(run, v);
        }
        break;
    }
    case WEIR_TPL_NODE_IF: return exec_if(run, node);
    case WEIR_TPL_NODE_FOR: return exec_for(run, node);
    case WEIR_TPL_NODE_SET: assign(run, node->a, weir_tpl_eval(run, node->b)); break;
    case WEIR_TPL_NODE_SET_BLOCK: assign(run, node->a, capture(run, node, &jump)); break;
    case WEIR_TPL_NODE_FILTER_BLOCK: {
        struct weir_tpl_value text = capture(run, node, &jump);
        if (run->code == 0) {
            weir_tpl_print(run, text);
        }
        break;
    }
    case WEIR_TPL_NODE_WITH: return exec_with(run, node);
    case WEIR_TPL_NODE_MACRO: define_macro(run, node); break;
    case WEIR_TPL_NODE_CALL_BLOCK: exec_call_block(run, node); break;
    case WEIR_TPL_NODE_BREAK: return JUMP_BREAK;
    case WEIR_TPL_NODE_CONTINUE: return JUMP_CONTINUE;
    default: break;
    }
    return jump;
}

static enum jump exec_block(struct weir_tpl_run *run, const struct weir_tpl_node *block)
{
    enum jump jump = JUMP_NONE;
    if (run->depth == WEIR_TPL_MAX_RUN_DEPTH) {
        (void)weir_tpl_run_fail(run, WEIR_E_TOOBIG, "macros or blocks nest too deeply");
        return jump;
    }
    run->depth++;
    for (uint32_t i = 0; i < block->n_kids && jump == JUMP_NONE; i++) {
        if (!weir_tpl_run_spend(run, 1)) {
            break;
        }
        run->line = block->kids[i]->line;
        jump = exec_statement(run, block->kids[i]);
    }
    run->depth--;
    return jump;
}

void weir_tpl_exec(struct weir_tpl_run *run, const struct weir_tpl_node *block)
{
    (void)exec_block(run, block);
}
