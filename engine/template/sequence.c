/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/template/text.h"
#include "run.h"

struct weir_tpl_list *weir_tpl_new_list(struct weir_tpl_run *run, size_t n, enum weir_tpl_form form)
{
    if (!weir_tpl_run_spend(run, 1 + n / 4)) {
        return NULL;
    }
    struct weir_tpl_list *list = weir_tpl_list_create(&run->arena, n, form);
    if (!list) {
        (void)weir_tpl_run_no_memory(run);
    }
    return list;
}

bool weir_tpl_list_add(struct weir_tpl_run *run, struct weir_tpl_list *list, size_t *cap,
                       struct weir_tpl_value item)
{
    if (!weir_tpl_run_spend(run, 1)) {
        return false;
    }
    if (list->n == *cap) {
        size_t grown = *cap ? *cap * 2 : 8;
        struct weir_tpl_value *items = weir_arena_array(&run->arena, grown, sizeof(*items));
        if (!items) {
            (void)weir_tpl_run_no_memory(run);
            return false;
        }
        memcpy(items, list->items, list->n * sizeof(*items));
        list->items = items;
        *cap = grown;
    }
    list->items[list->n++] = item;
    return true;
}

static struct weir_tpl_list *characters(struct weir_tpl_run *run, const struct weir_tpl_value *v)
{
    struct weir_tpl_list *list =
        weir_tpl_new_list(run, weir_tpl_text_len(v->str), WEIR_TPL_FORM_LIST);
    size_t at = 0;
    for (size_t i = 0; list && i < list->n; i++) {
        size_t next;
        (void)weir_tpl_text_next(v->str, at, &next);
        list->items[i] = *v;
        list->items[i].str = (weir_str){v->str.p + at, next - at};
        at = next;
    }
    return list;
}

struct weir_tpl_value weir_tpl_dict_view(struct weir_tpl_run *run, const struct weir_tpl_dict *d,
                                         enum weir_tpl_form form)
{
    struct weir_tpl_list *view = weir_tpl_new_list(run, d->n, form);
    for (size_t i = 0; view && i < d->n; i++) {
        view->items[i] = form == WEIR_TPL_FORM_KEYS ? d->pairs[i].key : d->pairs[i].value;
        if (form == WEIR_TPL_FORM_ITEMS) {
            struct weir_tpl_list *pair = weir_tpl_new_list(run, 2, WEIR_TPL_FORM_TUPLE);
            if (!pair) {
                return weir_tpl_undefined((weir_str){NULL, 0});
            }
            pair->items[0] = d->pairs[i].key;
            pair->items[1] = d->pairs[i].value;
            view->items[i] = weir_tpl_list_value(pair);
        }
    }
    return view ? weir_tpl_list_value(view) : weir_tpl_undefined((weir_str){NULL, 0});
}

/* A generator gives its items once. */
static struct weir_tpl_list *take(struct weir_tpl_run *run, struct weir_tpl_list *list)
{
    if (list->form != WEIR_TPL_FORM_GENERATOR) {
        return list;
    }
    struct weir_tpl_list *taken = weir_tpl_new_list(run, 0, WEIR_TPL_FORM_LIST);
    if (taken) {
        taken->items = list->items;
        taken->n = list->n;
        list->n = 0;
    }
    return taken;
}

struct weir_tpl_list *weir_tpl_iterate(struct weir_tpl_run *run, struct weir_tpl_value v)
{
    if (run->code < 0) {
        return NULL;
    }
    switch (v.kind) {
    case WEIR_TPL_UNDEFINED: return weir_tpl_new_list(run, 0, WEIR_TPL_FORM_LIST);
    case WEIR_TPL_STR: return characters(run, &v);
    case WEIR_TPL_LIST: return take(run, v.list);
    case WEIR_TPL_DICT: {
        struct weir_tpl_value keys = weir_tpl_dict_view(run, v.dict, WEIR_TPL_FORM_KEYS);
        return keys.kind == WEIR_TPL_LIST ? keys.list : NULL;
    }
    default:
        (void)weir_tpl_run_fail(run, WEIR_E_ARG, "'%s' is not iterable", weir_tpl_type_name(&v));
        return NULL;
    }
}

bool weir_tpl_len(struct weir_tpl_run *run, const struct weir_tpl_value *v, size_t *ret_n)
{
    switch (v->kind) {
    case WEIR_TPL_UNDEFINED: *ret_n = 0; return true;
    case WEIR_TPL_STR:
        *ret_n = weir_tpl_run_spend(run, v->str.n / 64) ? weir_tpl_text_len(v->str) : 0;
        return true;
    case WEIR_TPL_LIST: *ret_n = v->list->n; return v->list->form != WEIR_TPL_FORM_GENERATOR;
    case WEIR_TPL_DICT: *ret_n = v->dict->n; return true;
    case WEIR_TPL_LOOP: *ret_n = v->loop->n; return true;
    default: return false;
    }
}

/* Is key a to be placed behind key b, which stands before it? */
static bool misplaced(struct weir_tpl_run *run, const struct weir_tpl_value *before,
                      const struct weir_tpl_value *after, bool reverse)
{
    int order = 0;
    if (!weir_tpl_order(before, after, &run->steps, &order)) {
        (void)weir_tpl_run_fail(run, WEIR_E_ARG, "%s and %s cannot be ordered",
                                weir_tpl_type_name(before), weir_tpl_type_name(after));
    }
    return reverse ? order < 0 : order > 0;
}

/* Merges the sorted runs [lo, mid) and [mid, hi) of `from` into `to`. */
static void merge(struct weir_tpl_run *run, const struct weir_tpl_value *keys, const size_t *from,
                  size_t *to, size_t lo, size_t mid, size_t hi, bool reverse)
{
    size_t a = lo, b = mid;
    for (size_t i = lo; i < hi; i++) {
        bool from_b =
            a == mid || (b < hi && misplaced(run, &keys[from[a]], &keys[from[b]], reverse));
        to[i] = from_b ? from[b++] : from[a++];
    }
}

void weir_tpl_sort(struct weir_tpl_run *run, struct weir_tpl_list *list,
                   const struct weir_tpl_value *keys, bool reverse)
{
    size_t n = list->n;
    size_t *order = weir_arena_array(&run->arena, n, sizeof(*order));
    size_t *other = weir_arena_array(&run->arena, n, sizeof(*other));
    struct weir_tpl_value *sorted = weir_arena_array(&run->arena, n, sizeof(*sorted));
    if (!order || !other || !sorted) {
        (void)weir_tpl_run_no_memory(run);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        order[i] = i;
    }
    for (size_t width = 1; width < n && run->code == 0; width *= 2) {
        for (size_t lo = 0; lo < n; lo += 2 * width) {
            size_t mid = lo + width < n ? lo + width : n;
            size_t hi = lo + 2 * width < n ? lo + 2 * width : n;
            merge(run, keys, order, other, lo, mid, hi, reverse);
        }
        size_t *swap = order;
        order = other;
        other = swap;
        (void)weir_tpl_run_spend(run, n);
    }
    for (size_t i = 0; i < n; i++) {
        sorted[i] = list->items[order[i]];
    }
    list->items = sorted;
}
