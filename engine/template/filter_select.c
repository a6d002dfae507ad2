/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/template/is_test.h"
#include "filter.h"

#define FILTER(name)                                                                               \
    static struct weir_tpl_value name(struct weir_tpl_run *run, struct weir_tpl_value in,          \
                                      const struct weir_tpl_args *args)

static struct weir_tpl_value nothing(void)
{
    return weir_tpl_undefined((weir_str){NULL, 0});
}

/* jinja2's select and map give nothing for any false value, None and 0 among them. */
static struct weir_tpl_list *iterate_if_true(struct weir_tpl_run *run, struct weir_tpl_value in)
{
    struct weir_tpl_value none = weir_tpl_undefined((weir_str){NULL, 0});
    return weir_tpl_iterate(run, weir_tpl_is_true(&in) ? in : none);
}

/* Keeps the items whose value (or attribute) passes a test; without a test, truth decides. */
static struct weir_tpl_value pick(struct weir_tpl_run *run, struct weir_tpl_value in,
                                  const struct weir_tpl_args *args, bool by_attribute, bool keep)
{
    const struct weir_tpl_value *path = by_attribute ? weir_tpl_arg(args, 0, NULL) : NULL;
    const struct weir_tpl_value *name = weir_tpl_arg(args, by_attribute, NULL);
    struct weir_tpl_args rest = weir_tpl_args_skip(args, 1u + by_attribute);
    const struct weir_tpl_test *test =
        name && name->kind == WEIR_TPL_STR ? weir_tpl_test_find(name->str) : NULL;
    const struct weir_tpl_list *list = iterate_if_true(run, in);
    if ((by_attribute && !path) || (name && !test)) {
        return weir_tpl_run_fail(run, WEIR_E_ARG, "select and reject need a known test");
    }
    struct weir_tpl_list *kept =
        list ? weir_tpl_new_list(run, list->n, WEIR_TPL_FORM_GENERATOR) : NULL;
    if (!kept) {
        return nothing();
    }
    kept->n = 0;
    for (size_t i = 0; i < list->n && run->code == 0; i++) {
        struct weir_tpl_value v = weir_tpl_item_path(run, list->items[i], path, NULL);
        bool holds = test ? test->holds(run, v, &rest) : weir_tpl_is_true(&v);
        if (holds == keep) {
            kept->items[kept->n++] = list->items[i];
        }
    }
    return weir_tpl_list_value(kept);
}

FILTER(filter_select)
{
    return pick(run, in, args, false, true);
}

FILTER(filter_reject)
{
    return pick(run, in, args, false, false);
}

FILTER(filter_selectattr)
{
    return pick(run, in, args, true, true);
}

FILTER(filter_rejectattr)
{
    return pick(run, in, args, true, false);
}

/* map(attribute=..., default=...) or map("filter", arguments...) */
FILTER(filter_map)
{
    const struct weir_tpl_value *name = weir_tpl_arg(args, 0, NULL);
    const struct weir_tpl_value *path = weir_tpl_arg(args, SIZE_MAX, "attribute");
    const struct weir_tpl_value *otherwise = weir_tpl_arg(args, SIZE_MAX, "default");
    const struct weir_tpl_filter *filter =
        name && name->kind == WEIR_TPL_STR ? weir_tpl_filter_find(name->str) : NULL;
    const struct weir_tpl_list *list = iterate_if_true(run, in);
    if (!path && !filter) {
        return weir_tpl_run_fail(run, WEIR_E_ARG, "map needs a known filter or attribute=");
    }
    struct weir_tpl_list *mapped =
        list ? weir_tpl_new_list(run, list->n, WEIR_TPL_FORM_GENERATOR) : NULL;
    struct weir_tpl_args rest = weir_tpl_args_skip(args, 1);
    if (run->depth == WEIR_TPL_MAX_RUN_DEPTH) { /* map("map", "map", ...) recurses */
        return weir_tpl_run_fail(run, WEIR_E_TOOBIG, "filters nest too deeply");
    }
    run->depth++;
    for (size_t i = 0; mapped && i < list->n && run->code == 0; i++) {
        mapped->items[i] = filter ? filter->apply(run, list->items[i], &rest)
                                  : weir_tpl_item_path(run, list->items[i], path, otherwise);
    }
    run->depth--;
    return mapped ? weir_tpl_list_value(mapped) : nothing();
}

#undef FILTER

const struct weir_tpl_filter weir_tpl_select_filters[] = {
    {"select", filter_select},         {"reject", filter_reject}, {"selectattr", filter_selectattr},
    {"rejectattr", filter_rejectattr}, {"map", filter_map},       {NULL, NULL},
};
