/* SPDX-License-Identifier: Apache-2.0 */
#include "run.h"

static bool is_param(const struct weir_tpl_node *macro, weir_str name)
{
    for (uint32_t i = 0; i < macro->n_kids; i++) {
        if (weir_str_eq(macro->kids[i]->text, name)) {
            return true;
        }
    }
    return false;
}

static bool check_args(struct weir_tpl_run *run, const struct weir_tpl_node *macro,
                       const struct weir_tpl_args *args)
{
    int n = (int)(macro->text.n < 100 ? macro->text.n : 100);
    if (args->n_plain > macro->n_kids) {
        (void)weir_tpl_run_fail(run, WEIR_E_ARG, "macro '%.*s' takes %u arguments, not %zu", n,
                                macro->text.p, macro->n_kids, args->n_plain);
        return false;
    }
    for (size_t i = args->n_plain; i < args->n; i++) {
        if (!is_param(macro, args->names[i])) {
            (void)weir_tpl_run_fail(run, WEIR_E_ARG, "macro '%.*s' has no such named argument", n,
                                    macro->text.p);
            return false;
        }
    }
    return true;
}

static const struct weir_tpl_value *find_arg(const struct weir_tpl_args *args, size_t index,
                                             weir_str name)
{
    if (index < args->n_plain) {
        return &args->values[index];
    }
    for (size_t i = args->n_plain; i < args->n; i++) {
        if (weir_str_eq(args->names[i], name)) {
            return &args->values[i];
        }
    }
    return NULL;
}

/* Defaults are evaluated inside the macro, where earlier parameters are known. */
static void bind_params(struct weir_tpl_run *run, const struct weir_tpl_node *macro,
                        const struct weir_tpl_args *args)
{
    for (uint32_t i = 0; i < macro->n_kids && run->code == 0; i++) {
        const struct weir_tpl_node *param = macro->kids[i];
        const struct weir_tpl_value *given = find_arg(args, i, param->text);
        struct weir_tpl_value value = given      ? *given
                                      : param->a ? weir_tpl_eval(run, param->a)
                                                 : weir_tpl_undefined(param->text);
        (void)weir_tpl_scope_set(run, run->scope, param->text, value);
    }
}

struct weir_tpl_value weir_tpl_call_macro(struct weir_tpl_run *run,
                                          const struct weir_tpl_macro *macro,
                                          const struct weir_tpl_args *args,
                                          const struct weir_tpl_macro *caller)
{
    struct weir_tpl_value nothing = weir_tpl_undefined((weir_str){NULL, 0});
    if (!check_args(run, macro->node, args)) {
        return nothing;
    }
    struct weir_tpl_scope *scope = weir_arena_alloc(&run->arena, sizeof(*scope));
    if (!scope) {
        return weir_tpl_run_no_memory(run);
    }
    struct weir_tpl_scope *back = run->scope;
    scope->outer = macro->scope;
    run->scope = scope;
    if (caller) {
        (void)weir_tpl_scope_set(run, scope, (weir_str)WEIR_STR_INIT("caller"),
                                 (struct weir_tpl_value){.kind = WEIR_TPL_MACRO, .macro = caller});
    }
    bind_params(run, macro->node, args);
    size_t begin = weir_tpl_capture_begin(run);
    weir_tpl_exec(run, macro->node->b);
    run->scope = back;
    return weir_tpl_capture_end(run, begin);
}

struct weir_tpl_value weir_tpl_call(struct weir_tpl_run *run, struct weir_tpl_value callee,
                                    const struct weir_tpl_args *args)
{
    switch (callee.kind) {
    case WEIR_TPL_UNDEFINED: return weir_tpl_run_undefined(run, &callee);
    case WEIR_TPL_GLOBAL: return callee.global->call(run, args);
    case WEIR_TPL_METHOD:
        if (!callee.bound->method->call) {
            return weir_tpl_run_fail(run, WEIR_E_ARG,
                                     "method '%s' would change its object, which "
                                     "templates must not",
                                     callee.bound->method->name);
        }
        return callee.bound->method->call(run, callee.bound->self, args);
    case WEIR_TPL_MACRO: return weir_tpl_call_macro(run, callee.macro, args, NULL);
    default:
        return weir_tpl_run_fail(run, WEIR_E_ARG, "'%s' is not callable",
                                 weir_tpl_type_name(&callee));
    }
}
