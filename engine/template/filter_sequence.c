/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/template/text.h"
#include "filter.h"

#define FILTER(name)                                                                               \
    static struct weir_tpl_value name(struct weir_tpl_run *run, struct weir_tpl_value in,          \
                                      const struct weir_tpl_args *args)

static struct weir_tpl_value nothing(void)
{
    return weir_tpl_undefined((weir_str){NULL, 0});
}

static struct weir_tpl_value list_or_nothing(struct weir_tpl_list *list)
{
    return list ? weir_tpl_list_value(list) : nothing();
}

/* A new list with the items of `from`. */
static struct weir_tpl_list *copy_items(struct weir_tpl_run *run, const struct weir_tpl_list *from,
                                        enum weir_tpl_form form)
{
    struct weir_tpl_list *list = from ? weir_tpl_new_list(run, from->n, form) : NULL;
    for (size_t i = 0; list && i < list->n; i++) {
        list->items[i] = from->items[i];
    }
    return list;
}

FILTER(filter_length)
{
    (void)args;
    size_t n;
    return weir_tpl_len(run, &in, &n)
               ? weir_tpl_int((int64_t)n)
               : weir_tpl_run_fail(run, WEIR_E_ARG, "'%s' has no length", weir_tpl_type_name(&in));
}

FILTER(filter_default)
{
    (void)run;
    const struct weir_tpl_value *given = weir_tpl_arg(args, 0, "default_value");
    bool falsy_too = weir_tpl_arg_true(args, 1, "boolean", false);
    bool replaced = in.kind == WEIR_TPL_UNDEFINED || (falsy_too && !weir_tpl_is_true(&in));
    return !replaced ? in : given ? *given : weir_tpl_str((weir_str)WEIR_STR_INIT(""));
}

FILTER(filter_list)
{
    (void)args;
    return list_or_nothing(copy_items(run, weir_tpl_iterate(run, in), WEIR_TPL_FORM_LIST));
}

FILTER(filter_first)
{
    (void)args;
    const struct weir_tpl_list *list = weir_tpl_iterate(run, in);
    return list && list->n ? list->items[0]
                           : weir_tpl_undefined((weir_str)WEIR_STR_INIT("first item"));
}

FILTER(filter_last)
{
    (void)args;
    const struct weir_tpl_list *list = weir_tpl_iterate(run, in);
    return list && list->n ? list->items[list->n - 1]
                           : weir_tpl_undefined((weir_str)WEIR_STR_INIT("last item"));
}

struct weir_tpl_value weir_tpl_item_path(struct weir_tpl_run *run, struct weir_tpl_value item,
                                         const struct weir_tpl_value *path,
                                         const struct weir_tpl_value *otherwise)
{
    int64_t index;
    if (!path || path->kind == WEIR_TPL_NONE) {
        return item;
    }
    if (weir_tpl_as_int(path, &index)) {
        return weir_tpl_item(run, item, *path);
    }
    weir_str left = weir_tpl_to_str(run, *path);
    while (run->code == 0) {
        size_t dot = weir_tpl_text_find(left, (weir_str)WEIR_STR_INIT("."), 0);
        weir_str part = {left.p, dot == SIZE_MAX ? left.n : dot};
        bool digits = part.n > 0 && part.n < 10;
        int64_t number = 0;
        for (size_t i = 0; digits && i < part.n; i++) {
            digits = part.p[i] >= '0' && part.p[i] <= '9';
            number = number * 10 + (part.p[i] - '0');
        }
        item = weir_tpl_item(run, item, digits ? weir_tpl_int(number) : weir_tpl_str(part));
        if (otherwise && item.kind == WEIR_TPL_UNDEFINED) {
            item = *otherwise;
        }
        if (dot == SIZE_MAX) {
            break;
        }
        left = (weir_str){left.p + dot + 1, left.n - dot - 1};
    }
    return item;
}

/* Keys for sorting and comparing: the attribute, lower-cased text unless case matters. */
static struct weir_tpl_value *keys_of(struct weir_tpl_run *run, const struct weir_tpl_list *list,
                                      const struct weir_tpl_value *path, bool case_matters)
{
    struct weir_tpl_list *keys = weir_tpl_new_list(run, list->n, WEIR_TPL_FORM_LIST);
    for (size_t i = 0; keys && i < list->n && run->code == 0; i++) {
        struct weir_tpl_value key = weir_tpl_item_path(run, list->items[i], path, NULL);
        if (!case_matters && key.kind == WEIR_TPL_STR) {
            key = weir_tpl_new_str(run, weir_tpl_text_case(&run->arena, key.str, WEIR_TPL_LOWER),
                                   NULL);
        }
        keys->items[i] = key;
    }
    return keys && run->code == 0 ? keys->items : NULL;
}

FILTER(filter_sort)
{
    bool reverse = weir_tpl_arg_true(args, 0, "reverse", false);
    bool case_matters = weir_tpl_arg_true(args, 1, "case_sensitive", false);
    struct weir_tpl_list *list = copy_items(run, weir_tpl_iterate(run, in), WEIR_TPL_FORM_LIST);
    struct weir_tpl_value *keys =
        list ? keys_of(run, list, weir_tpl_arg(args, 2, "attribute"), case_matters) : NULL;
    if (!keys) {
        return nothing();
    }
    weir_tpl_sort(run, list, keys, reverse);
    return weir_tpl_list_value(list);
}

FILTER(filter_dictsort)
{
    bool case_matters = weir_tpl_arg_true(args, 0, "case_sensitive", false);
    weir_str by = weir_tpl_arg_str(run, args, 1, "by", (weir_str)WEIR_STR_INIT("key"));
    bool reverse = weir_tpl_arg_true(args, 2, "reverse", false);
    if (in.kind != WEIR_TPL_DICT) {
        return in.kind == WEIR_TPL_UNDEFINED
                   ? weir_tpl_run_undefined(run, &in)
                   : weir_tpl_run_fail(run, WEIR_E_ARG, "dictsort needs a dict");
    }
    struct weir_tpl_value items = weir_tpl_dict_view(run, in.dict, WEIR_TPL_FORM_ITEMS);
    struct weir_tpl_value position = weir_tpl_int(weir_str_is(by, "value"));
    struct weir_tpl_value *keys =
        run->code == 0 ? keys_of(run, items.list, &position, case_matters) : NULL;
    if (!keys) {
        return nothing();
    }
    weir_tpl_sort(run, items.list, keys, reverse);
    items.list->form = WEIR_TPL_FORM_LIST;
    return items;
}

FILTER(filter_unique)
{
    bool case_matters = weir_tpl_arg_true(args, 0, "case_sensitive", false);
    const struct weir_tpl_list *list = weir_tpl_iterate(run, in);
    struct weir_tpl_value *keys =
        list ? keys_of(run, list, weir_tpl_arg(args, 1, "attribute"), case_matters) : NULL;
    struct weir_tpl_list *seen =
        keys ? weir_tpl_new_list(run, list->n, WEIR_TPL_FORM_GENERATOR) : NULL;
    if (!seen) {
        return nothing();
    }
    seen->n = 0;
    size_t *at = weir_arena_array(&run->arena, list->n, sizeof(*at));
    if (!at) {
        return weir_tpl_run_no_memory(run);
    }
    for (size_t i = 0; i < list->n && run->steps; i++) {
        bool known = false;
        for (size_t k = 0; k < seen->n && !known && run->steps; k++) {
            known = weir_tpl_equal(&keys[at[k]], &keys[i], &run->steps);
        }
        if (!known) {
            at[seen->n] = i;
            seen->items[seen->n++] = list->items[i];
        }
    }
    return weir_tpl_list_value(seen);
}

static struct weir_tpl_value extreme(struct weir_tpl_run *run, struct weir_tpl_value in,
                                     const struct weir_tpl_args *args, int sign)
{
    bool case_matters = weir_tpl_arg_true(args, 0, "case_sensitive", false);
    const struct weir_tpl_list *list = weir_tpl_iterate(run, in);
    struct weir_tpl_value *keys =
        list ? keys_of(run, list, weir_tpl_arg(args, 1, "attribute"), case_matters) : NULL;
    if (!keys || list->n == 0) {
        return weir_tpl_undefined((weir_str)WEIR_STR_INIT("item of an empty sequence"));
    }
    size_t best = 0;
    for (size_t i = 1; i < list->n && run->code == 0; i++) {
        int order = 0;
        if (!weir_tpl_order(&keys[i], &keys[best], &run->steps, &order)) {
            return weir_tpl_run_fail(run, WEIR_E_ARG, "min and max need comparable items");
        }
        best = order * sign > 0 ? i : best;
    }
    return list->items[best];
}

FILTER(filter_min)
{
    return extreme(run, in, args, -1);
}

FILTER(filter_max)
{
    return extreme(run, in, args, 1);
}

FILTER(filter_sum)
{
    const struct weir_tpl_value *path = weir_tpl_arg(args, 0, "attribute");
    const struct weir_tpl_value *start = weir_tpl_arg(args, 1, "start");
    const struct weir_tpl_list *list = weir_tpl_iterate(run, in);
    struct weir_tpl_value sum = start ? *start : weir_tpl_int(0);
    for (size_t i = 0; list && i < list->n && run->code == 0; i++) {
        sum = weir_tpl_operate(run, WEIR_TPL_OP_ADD, sum,
                               weir_tpl_item_path(run, list->items[i], path, NULL));
    }
    return sum;
}

FILTER(filter_join)
{
    weir_str separator = weir_tpl_arg_str(run, args, 0, "d", (weir_str){NULL, 0});
    const struct weir_tpl_value *path = weir_tpl_arg(args, 1, "attribute");
    const struct weir_tpl_list *list = weir_tpl_iterate(run, in);
    size_t begin = weir_tpl_capture_begin(run);
    for (size_t i = 0; list && i < list->n && run->code == 0; i++) {
        if (i) {
            weir_buf_add_str(run->out, separator);
        }
        struct weir_tpl_value item = weir_tpl_item_path(run, list->items[i], path, NULL);
        if (run->code == 0) {
            weir_tpl_print(run, item);
        }
    }
    return weir_tpl_capture_end(run, begin);
}

FILTER(filter_reverse)
{
    (void)args;
    if (in.kind == WEIR_TPL_STR) {
        struct weir_tpl_value bounds[3] = {weir_tpl_none(), weir_tpl_none(), weir_tpl_int(-1)};
        return weir_tpl_slice(run, in, bounds);
    }
    struct weir_tpl_list *list =
        copy_items(run, weir_tpl_iterate(run, in), WEIR_TPL_FORM_GENERATOR);
    for (size_t i = 0; list && i < list->n / 2; i++) {
        struct weir_tpl_value swap = list->items[i];
        list->items[i] = list->items[list->n - 1 - i];
        list->items[list->n - 1 - i] = swap;
    }
    return list_or_nothing(list);
}

FILTER(filter_items)
{
    (void)args;
    if (in.kind != WEIR_TPL_DICT && in.kind != WEIR_TPL_UNDEFINED) {
        return weir_tpl_run_fail(run, WEIR_E_ARG, "items needs a dict");
    }
    struct weir_tpl_list *none = weir_tpl_new_list(run, 0, WEIR_TPL_FORM_GENERATOR);
    if (in.kind == WEIR_TPL_UNDEFINED || !none) {
        return list_or_nothing(none);
    }
    struct weir_tpl_value items = weir_tpl_dict_view(run, in.dict, WEIR_TPL_FORM_ITEMS);
    if (items.kind == WEIR_TPL_LIST) {
        items.list->form = WEIR_TPL_FORM_GENERATOR;
    }
    return items;
}

FILTER(filter_attr)
{
    weir_str name = weir_tpl_arg_str(run, args, 0, "name", (weir_str){NULL, 0});
    /* Attributes only: keys of a dict are not looked at. */
    if (in.kind == WEIR_TPL_DICT && !weir_tpl_method_find(in.kind, name)) {
        return weir_tpl_undefined(name);
    }
    return weir_tpl_attr(run, in, name);
}

FILTER(filter_batch)
{
    int64_t size = weir_tpl_arg_int(run, args, 0, "linecount", 0);
    const struct weir_tpl_value *fill = weir_tpl_arg(args, 1, "fill_with");
    const struct weir_tpl_list *list = weir_tpl_iterate(run, in);
    if (!list || size <= 0 || size > WEIR_TPL_MAX_RANGE) {
        return weir_tpl_run_fail(run, WEIR_E_ARG, "batch needs a list and a size");
    }
    size_t n = (size_t)size;
    struct weir_tpl_list *batches =
        weir_tpl_new_list(run, (list->n + n - 1) / n, WEIR_TPL_FORM_GENERATOR);
    for (size_t i = 0; batches && i < batches->n; i++) {
        size_t left = list->n - i * n, filled = left < n ? left : n;
        size_t width = fill ? n : filled;
        struct weir_tpl_list *batch = weir_tpl_new_list(run, width, WEIR_TPL_FORM_LIST);
        for (size_t k = 0; batch && k < width; k++) {
            batch->items[k] = k < filled ? list->items[i * n + k] : *fill;
        }
        batches->items[i] = list_or_nothing(batch);
    }
    return list_or_nothing(batches);
}

/* [(key, [items])] by an attribute, sorted by it. */
FILTER(filter_groupby)
{
    const struct weir_tpl_value *path = weir_tpl_arg(args, 0, "attribute");
    bool case_matters = weir_tpl_arg_true(args, 2, "case_sensitive", false);
    struct weir_tpl_list *list = copy_items(run, weir_tpl_iterate(run, in), WEIR_TPL_FORM_LIST);
    struct weir_tpl_value *keys = list ? keys_of(run, list, path, case_matters) : NULL;
    struct weir_tpl_list *groups = weir_tpl_new_list(run, 0, WEIR_TPL_FORM_LIST);
    if (!keys || !groups) {
        return nothing();
    }
    weir_tpl_sort(run, list, keys, false);
    keys = keys_of(run, list, path, case_matters);
    size_t cap = 0;
    for (size_t i = 0, end; keys && i < list->n && run->code == 0; i = end) {
        end = i + 1;
        while (end < list->n && weir_tpl_equal(&keys[i], &keys[end], &run->steps)) {
            end++;
        }
        struct weir_tpl_list *pair = weir_tpl_new_list(run, 2, WEIR_TPL_FORM_TUPLE);
        struct weir_tpl_list *members = weir_tpl_new_list(run, end - i, WEIR_TPL_FORM_LIST);
        if (!pair || !members) {
            return nothing();
        }
        memcpy(members->items, list->items + i, (end - i) * sizeof(*members->items));
        pair->items[0] = weir_tpl_item_path(run, list->items[i], path, NULL);
        pair->items[1] = weir_tpl_list_value(members);
        weir_tpl_list_add(run, groups, &cap, weir_tpl_list_value(pair));
    }
    return weir_tpl_list_value(groups);
}

#undef FILTER

const struct weir_tpl_filter weir_tpl_sequence_filters[] = {
    {"length", filter_length},     {"count", filter_length},
    {"default", filter_default},   {"d", filter_default},
    {"list", filter_list},         {"first", filter_first},
    {"last", filter_last},         {"sort", filter_sort},
    {"dictsort", filter_dictsort}, {"unique", filter_unique},
    {"min", filter_min},           {"max", filter_max},
    {"sum", filter_sum},           {"join", filter_join},
    {"reverse", filter_reverse},   {"items", filter_items},
    {"attr", filter_attr},         {"batch", filter_batch},
    {"groupby", filter_groupby},   {NULL, NULL},
};
