/* SPDX-License-Identifier: Apache-2.0 */
#include "run.h"

#include <stdarg.h>
#include <stdio.h>

struct weir_tpl_value weir_tpl_run_fail(struct weir_tpl_run *run, int code, const char *fmt, ...)
{
    if (run->code == 0) {
        char what[400];
        va_list ap;
        va_start(ap, fmt);
        (void)vsnprintf(what, sizeof(what), fmt, ap);
        va_end(ap);
        run->code = weir_error_set(run->err, code, "chat template, line %u: %s", run->line, what);
    }
    return (struct weir_tpl_value){.kind = WEIR_TPL_UNDEFINED};
}

struct weir_tpl_value weir_tpl_run_no_memory(struct weir_tpl_run *run)
{
    return weir_tpl_run_fail(run, WEIR_E_TOOBIG, "rendering needs more than %zu bytes of memory",
                             run->arena.limit_bytes);
}

struct weir_tpl_value weir_tpl_run_undefined(struct weir_tpl_run *run,
                                             const struct weir_tpl_value *v)
{
    int n = (int)(v->str.n < 100 ? v->str.n : 100);
    const char *name = v->str.p ? v->str.p : "";
    if (v->owner == WEIR_TPL_UNDEFINED) {
        return weir_tpl_run_fail(run, WEIR_E_ARG, "'%.*s' is undefined", n, name);
    }
    struct weir_tpl_value owner = {.kind = v->owner};
    return weir_tpl_run_fail(run, WEIR_E_ARG, "'%s' has no attribute '%.*s'",
                             weir_tpl_type_name(&owner), n, name);
}

bool weir_tpl_run_spend(struct weir_tpl_run *run, uint64_t n)
{
    if (run->code < 0) {
        return false;
    }
    if (!weir_tpl_spend(&run->steps, n)) {
        (void)weir_tpl_run_fail(run, WEIR_E_TOOBIG, "rendering takes too many steps");
        return false;
    }
    return true;
}

bool weir_tpl_scope_set(struct weir_tpl_run *run, struct weir_tpl_scope *scope, weir_str name,
                        struct weir_tpl_value value)
{
    if (!weir_tpl_run_spend(run, 1 + scope->n / 16)) {
        return false;
    }
    for (size_t i = 0; i < scope->n; i++) {
        if (weir_str_eq(scope->vars[i].key.str, name)) {
            scope->vars[i].value = value;
            return true;
        }
    }
    if (scope->n == scope->cap) {
        size_t cap = scope->cap ? scope->cap * 2 : 4;
        struct weir_tpl_pair *vars = weir_arena_array(&run->arena, cap, sizeof(*vars));
        if (!vars) {
            (void)weir_tpl_run_no_memory(run);
            return false;
        }
        if (scope->n) {
            memcpy(vars, scope->vars, scope->n * sizeof(*vars));
        }
        scope->vars = vars;
        scope->cap = cap;
    }
    scope->vars[scope->n++] = (struct weir_tpl_pair){.key = weir_tpl_str(name), .value = value};
    return true;
}

struct weir_tpl_value weir_tpl_scope_get(struct weir_tpl_run *run, weir_str name)
{
    for (const struct weir_tpl_scope *s = run->scope; s; s = s->outer) {
        if (!weir_tpl_run_spend(run, 1 + s->n / 16)) {
            return weir_tpl_undefined(name);
        }
        for (size_t i = 0; i < s->n; i++) {
            if (weir_str_eq(s->vars[i].key.str, name)) {
                return s->vars[i].value;
            }
        }
    }
    const struct weir_tpl_global *global = weir_tpl_global_find(name);
    return global ? (struct weir_tpl_value){.kind = WEIR_TPL_GLOBAL, .global = global}
                  : weir_tpl_undefined(name);
}
