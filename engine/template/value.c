/* SPDX-License-Identifier: Apache-2.0 */
#include "value.h"

#include <math.h>

struct weir_tpl_list *weir_tpl_list_create(struct weir_arena *a, size_t n, enum weir_tpl_form form)
{
    struct weir_tpl_list *list = weir_arena_alloc(a, sizeof(*list));
    struct weir_tpl_value *items = weir_arena_array(a, n, sizeof(*items));
    if (!list || !items) {
        return NULL;
    }
    *list = (struct weir_tpl_list){.items = items, .n = n, .form = form};
    return list;
}

struct weir_tpl_dict *weir_tpl_dict_create(struct weir_arena *a, size_t cap)
{
    struct weir_tpl_dict *d = weir_arena_alloc(a, sizeof(*d));
    if (!d) {
        return NULL;
    }
    d->cap = cap ? cap : 4;
    d->pairs = weir_arena_array(a, d->cap, sizeof(*d->pairs));
    return d->pairs ? d : NULL;
}

static bool append_pair(struct weir_arena *a, struct weir_tpl_dict *d, struct weir_tpl_pair pair)
{
    if (d->n == d->cap) {
        struct weir_tpl_pair *pairs = weir_arena_array(a, d->cap * 2, sizeof(*pairs));
        if (!pairs) {
            return false;
        }
        memcpy(pairs, d->pairs, d->n * sizeof(*pairs));
        d->pairs = pairs;
        d->cap *= 2;
    }
    d->pairs[d->n++] = pair;
    return true;
}

bool weir_tpl_dict_set(struct weir_arena *a, struct weir_tpl_dict *d, struct weir_tpl_value key,
                       struct weir_tpl_value value, uint64_t *steps)
{
    struct weir_tpl_value *old = weir_tpl_dict_find(d, &key, steps);
    if (old) {
        *old = value;
        return true;
    }
    return append_pair(a, d, (struct weir_tpl_pair){.key = key, .value = value});
}

struct weir_tpl_value *weir_tpl_dict_find(const struct weir_tpl_dict *d,
                                          const struct weir_tpl_value *key, uint64_t *steps)
{
    if (key->kind == WEIR_TPL_STR) {
        return weir_tpl_dict_find_str(d, key->str, steps);
    }
    for (size_t i = 0; i < d->n; i++) {
        if (weir_tpl_equal(&d->pairs[i].key, key, steps)) {
            return &d->pairs[i].value;
        }
    }
    return NULL;
}

struct weir_tpl_value *weir_tpl_dict_find_str(const struct weir_tpl_dict *d, weir_str key,
                                              uint64_t *steps)
{
    if (!weir_tpl_spend(steps, 1 + d->n / 16)) {
        return NULL;
    }
    for (size_t i = 0; i < d->n; i++) {
        const struct weir_tpl_value *k = &d->pairs[i].key;
        if (k->kind == WEIR_TPL_STR && weir_str_eq(k->str, key)) {
            return &d->pairs[i].value;
        }
    }
    return NULL;
}

static struct weir_tpl_value json_number(yyjson_val *json)
{
    if (yyjson_is_real(json)) {
        return weir_tpl_float(yyjson_get_real(json));
    }
    struct weir_tpl_value v = weir_tpl_int(yyjson_get_sint(json));
    if (yyjson_is_uint(json)) {
        uint64_t u = yyjson_get_uint(json);
        v.unsigned_ = u > INT64_MAX;
        memcpy(&v.i, &u, sizeof(u));
    }
    return v;
}

static int convert(struct weir_arena *a, yyjson_val *json, int depth,
                   struct weir_tpl_value *ret_value);

static int convert_array(struct weir_arena *a, yyjson_val *json, int depth,
                         struct weir_tpl_value *ret_value)
{
    struct weir_tpl_list *list = weir_tpl_list_create(a, yyjson_arr_size(json), WEIR_TPL_FORM_LIST);
    if (!list) {
        return WEIR_E_NOMEM;
    }
    size_t i, n;
    yyjson_val *item;
    yyjson_arr_foreach(json, i, n, item)
    {
        int r = convert(a, item, depth + 1, &list->items[i]);
        if (r < 0) {
            return r;
        }
    }
    *ret_value = weir_tpl_list_value(list);
    return 0;
}

static int convert_object(struct weir_arena *a, yyjson_val *json, int depth,
                          struct weir_tpl_value *ret_value)
{
    struct weir_tpl_dict *d = weir_tpl_dict_create(a, yyjson_obj_size(json));
    if (!d) {
        return WEIR_E_NOMEM;
    }
    size_t i, n;
    yyjson_val *key, *item;
    yyjson_obj_foreach(json, i, n, key, item)
    {
        /* The request parser refuses duplicate keys, so none is looked for here: it would make
         * large objects quadratic. */
        struct weir_tpl_pair pair = {
            .key = weir_tpl_str((weir_str){yyjson_get_str(key), yyjson_get_len(key)})};
        int r = convert(a, item, depth + 1, &pair.value);
        if (r < 0) {
            return r;
        }
        if (!append_pair(a, d, pair)) {
            return WEIR_E_NOMEM;
        }
    }
    *ret_value = weir_tpl_dict_value(d);
    return 0;
}

static int convert(struct weir_arena *a, yyjson_val *json, int depth,
                   struct weir_tpl_value *ret_value)
{
    if (depth > WEIR_TPL_MAX_NEST) {
        return WEIR_E_TOOBIG;
    }
    switch (yyjson_get_type(json)) {
    case YYJSON_TYPE_BOOL: *ret_value = weir_tpl_bool(yyjson_get_bool(json)); return 0;
    case YYJSON_TYPE_NUM: *ret_value = json_number(json); return 0;
    case YYJSON_TYPE_STR:
        *ret_value = weir_tpl_str((weir_str){yyjson_get_str(json), yyjson_get_len(json)});
        return 0;
    case YYJSON_TYPE_ARR: return convert_array(a, json, depth, ret_value);
    case YYJSON_TYPE_OBJ: return convert_object(a, json, depth, ret_value);
    default: *ret_value = weir_tpl_none(); return 0;
    }
}

int weir_tpl_from_json(struct weir_arena *a, yyjson_val *json, struct weir_tpl_value *ret_value)
{
    return convert(a, json, 0, ret_value);
}

bool weir_tpl_is_true(const struct weir_tpl_value *v)
{
    switch (v->kind) {
    case WEIR_TPL_UNDEFINED:
    case WEIR_TPL_NONE: return false;
    case WEIR_TPL_BOOL: return v->b;
    case WEIR_TPL_INT: return v->i != 0;
    case WEIR_TPL_FLOAT: return v->f != 0;
    case WEIR_TPL_STR: return v->str.n > 0;
    case WEIR_TPL_LIST: return v->list->n > 0 || v->list->form == WEIR_TPL_FORM_GENERATOR;
    case WEIR_TPL_DICT: return v->dict->n > 0;
    default: return true;
    }
}

bool weir_tpl_is_number(const struct weir_tpl_value *v)
{
    return v->kind == WEIR_TPL_BOOL || v->kind == WEIR_TPL_INT || v->kind == WEIR_TPL_FLOAT;
}

double weir_tpl_as_double(const struct weir_tpl_value *v)
{
    switch (v->kind) {
    case WEIR_TPL_BOOL: return v->b;
    case WEIR_TPL_INT: return v->unsigned_ ? (double)(uint64_t)v->i : (double)v->i;
    case WEIR_TPL_FLOAT: return v->f;
    default: return 0;
    }
}

bool weir_tpl_as_int(const struct weir_tpl_value *v, int64_t *ret_i)
{
    if (v->kind == WEIR_TPL_BOOL) {
        *ret_i = v->b;
        return true;
    }
    if (v->kind == WEIR_TPL_INT && !v->unsigned_) {
        *ret_i = v->i;
        return true;
    }
    return false;
}

static int compare_numbers(const struct weir_tpl_value *a, const struct weir_tpl_value *b)
{
    int64_t x, y;
    if (weir_tpl_as_int(a, &x) && weir_tpl_as_int(b, &y)) {
        return (x > y) - (x < y);
    }
    if (a->unsigned_ && b->unsigned_) {
        return ((uint64_t)a->i > (uint64_t)b->i) - ((uint64_t)a->i < (uint64_t)b->i);
    }
    double p = weir_tpl_as_double(a), q = weir_tpl_as_double(b);
    return (p > q) - (p < q);
}

static bool equal_at(const struct weir_tpl_value *a, const struct weir_tpl_value *b, int depth,
                     uint64_t *steps);

static bool equal_lists(const struct weir_tpl_list *a, const struct weir_tpl_list *b, int depth,
                        uint64_t *steps)
{
    bool comparable =
        a->form == b->form && a->form != WEIR_TPL_FORM_GENERATOR && a->form != WEIR_TPL_FORM_VALUES;
    if (a == b) {
        return true;
    }
    if (!comparable || a->n != b->n) {
        return false;
    }
    for (size_t i = 0; i < a->n; i++) {
        if (!equal_at(&a->items[i], &b->items[i], depth + 1, steps)) {
            return false;
        }
    }
    return true;
}

static bool equal_dicts(const struct weir_tpl_dict *a, const struct weir_tpl_dict *b, int depth,
                        uint64_t *steps)
{
    if (a->n != b->n) {
        return false;
    }
    for (size_t i = 0; i < a->n; i++) {
        const struct weir_tpl_value *other = weir_tpl_dict_find(b, &a->pairs[i].key, steps);
        if (!other || !equal_at(&a->pairs[i].value, other, depth + 1, steps)) {
            return false;
        }
    }
    return true;
}

static bool equal_at(const struct weir_tpl_value *a, const struct weir_tpl_value *b, int depth,
                     uint64_t *steps)
{
    if (depth > WEIR_TPL_MAX_NEST || !weir_tpl_spend(steps, 1)) {
        return false;
    }
    if (weir_tpl_is_number(a) && weir_tpl_is_number(b)) {
        bool nan = (a->kind == WEIR_TPL_FLOAT && isnan(a->f)) ||
                   (b->kind == WEIR_TPL_FLOAT && isnan(b->f));
        return !nan && compare_numbers(a, b) == 0;
    }
    if (a->kind != b->kind) {
        return false;
    }
    switch (a->kind) {
    case WEIR_TPL_UNDEFINED:
    case WEIR_TPL_NONE: return true;
    case WEIR_TPL_STR: return weir_str_eq(a->str, b->str);
    case WEIR_TPL_LIST: return equal_lists(a->list, b->list, depth, steps);
    case WEIR_TPL_DICT: return equal_dicts(a->dict, b->dict, depth, steps);
    default: return a->loop == b->loop;
    }
}

bool weir_tpl_equal(const struct weir_tpl_value *a, const struct weir_tpl_value *b, uint64_t *steps)
{
    return equal_at(a, b, 0, steps);
}

static int order_strings(weir_str a, weir_str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

static bool order_at(const struct weir_tpl_value *a, const struct weir_tpl_value *b, int depth,
                     uint64_t *steps, int *ret_order)
{
    if (weir_tpl_is_number(a) && weir_tpl_is_number(b)) {
        *ret_order = compare_numbers(a, b);
        return true;
    }
    if (a->kind == WEIR_TPL_STR && b->kind == WEIR_TPL_STR) {
        *ret_order = order_strings(a->str, b->str);
        return true;
    }
    bool lists = a->kind == WEIR_TPL_LIST && b->kind == WEIR_TPL_LIST &&
                 a->list->form == b->list->form && a->list->form <= WEIR_TPL_FORM_TUPLE;
    if (!lists || depth > WEIR_TPL_MAX_NEST) {
        return false;
    }
    size_t n = a->list->n < b->list->n ? a->list->n : b->list->n;
    for (size_t i = 0; i < n; i++) {
        const struct weir_tpl_value *x = &a->list->items[i], *y = &b->list->items[i];
        if (!weir_tpl_equal(x, y, steps)) {
            return order_at(x, y, depth + 1, steps, ret_order);
        }
    }
    *ret_order = (a->list->n > b->list->n) - (a->list->n < b->list->n);
    return true;
}

bool weir_tpl_order(const struct weir_tpl_value *a, const struct weir_tpl_value *b, uint64_t *steps,
                    int *ret_order)
{
    return order_at(a, b, 0, steps, ret_order);
}

const char *weir_tpl_type_name(const struct weir_tpl_value *v)
{
    static const char *const names[] = {
        [WEIR_TPL_UNDEFINED] = "Undefined",        [WEIR_TPL_NONE] = "None",
        [WEIR_TPL_BOOL] = "bool object",           [WEIR_TPL_INT] = "int object",
        [WEIR_TPL_FLOAT] = "float object",         [WEIR_TPL_STR] = "str object",
        [WEIR_TPL_LIST] = "list object",           [WEIR_TPL_DICT] = "dict object",
        [WEIR_TPL_NAMESPACE] = "Namespace object", [WEIR_TPL_LOOP] = "LoopContext object",
        [WEIR_TPL_MACRO] = "Macro object",         [WEIR_TPL_GLOBAL] = "function object",
        [WEIR_TPL_METHOD] = "method object",
    };
    return names[v->kind];
}
