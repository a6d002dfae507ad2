/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "engine/template/text.h"
#include "run.h"

static struct weir_tpl_value type_error(struct weir_tpl_run *run, const struct weir_tpl_value *a,
                                        const struct weir_tpl_value *b)
{
    if (a->kind == WEIR_TPL_UNDEFINED || b->kind == WEIR_TPL_UNDEFINED) {
        return weir_tpl_run_undefined(run, a->kind == WEIR_TPL_UNDEFINED ? a : b);
    }
    return weir_tpl_run_fail(run, WEIR_E_ARG, "an operator does not work on %s and %s",
                             weir_tpl_type_name(a), weir_tpl_type_name(b));
}

static struct weir_tpl_value overflow(struct weir_tpl_run *run)
{
    return weir_tpl_run_fail(run, WEIR_E_ARG, "a whole number is too large");
}

static struct weir_tpl_value division_by_zero(struct weir_tpl_run *run)
{
    return weir_tpl_run_fail(run, WEIR_E_ARG, "division by zero");
}

/* Python rounds towards minus infinity; the remainder has the divisor's sign. */
static struct weir_tpl_value floor_divide(struct weir_tpl_run *run, bool remainder, int64_t a,
                                          int64_t b)
{
    if (b == 0) {
        return division_by_zero(run);
    }
    if (b == -1) {
        int64_t negated;
        if (remainder) {
            return weir_tpl_int(0);
        }
        return __builtin_sub_overflow(0, a, &negated) ? overflow(run) : weir_tpl_int(negated);
    }
    bool adjust = a % b != 0 && (a < 0) != (b < 0);
    return weir_tpl_int(remainder ? a % b + (adjust ? b : 0) : a / b - adjust);
}

static struct weir_tpl_value power(struct weir_tpl_run *run, int64_t base, int64_t exponent)
{
    if (exponent < 0) {
        return base == 0 ? division_by_zero(run)
                         : weir_tpl_float(pow((double)base, (double)exponent));
    }
    int64_t result = 1;
    for (; exponent > 0; exponent >>= 1) {
        if ((exponent & 1) && __builtin_mul_overflow(result, base, &result)) {
            return overflow(run);
        }
        if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) {
            return overflow(run);
        }
    }
    return weir_tpl_int(result);
}

static struct weir_tpl_value operate_ints(struct weir_tpl_run *run, enum weir_tpl_op op, int64_t a,
                                          int64_t b)
{
    int64_t r = 0;
    switch (op) {
    case WEIR_TPL_OP_ADD: return __builtin_add_overflow(a, b, &r) ? overflow(run) : weir_tpl_int(r);
    case WEIR_TPL_OP_SUB: return __builtin_sub_overflow(a, b, &r) ? overflow(run) : weir_tpl_int(r);
    case WEIR_TPL_OP_MUL: return __builtin_mul_overflow(a, b, &r) ? overflow(run) : weir_tpl_int(r);
    case WEIR_TPL_OP_DIV:
        return b == 0 ? division_by_zero(run) : weir_tpl_float((double)a / (double)b);
    case WEIR_TPL_OP_FLOORDIV: return floor_divide(run, false, a, b);
    case WEIR_TPL_OP_MOD: return floor_divide(run, true, a, b);
    default: return power(run, a, b);
    }
}

static struct weir_tpl_value operate_floats(struct weir_tpl_run *run, enum weir_tpl_op op, double a,
                                            double b)
{
    switch (op) {
    case WEIR_TPL_OP_ADD: return weir_tpl_float(a + b);
    case WEIR_TPL_OP_SUB: return weir_tpl_float(a - b);
    case WEIR_TPL_OP_MUL: return weir_tpl_float(a * b);
    case WEIR_TPL_OP_POW: return weir_tpl_float(pow(a, b));
    default: break;
    }
    if (b == 0) {
        return division_by_zero(run);
    }
    if (op == WEIR_TPL_OP_DIV) {
        return weir_tpl_float(a / b);
    }
    if (op == WEIR_TPL_OP_FLOORDIV) {
        return weir_tpl_float(floor(a / b));
    }
    double r = fmod(a, b);
    return weir_tpl_float(r != 0 && (r < 0) != (b < 0) ? r + b : r);
}

static struct weir_tpl_value add_strings(struct weir_tpl_run *run, struct weir_tpl_value a,
                                         struct weir_tpl_value b)
{
    bool markup = a.markup || b.markup;
    if (markup) {
        a = weir_tpl_escape(run, a);
        b = weir_tpl_escape(run, b);
        if (run->code < 0) {
            return a;
        }
    }
    char *p = weir_arena_alloc(&run->arena, a.str.n + b.str.n + 1);
    if (!p) {
        return weir_tpl_run_no_memory(run);
    }
    if (a.str.n) {
        memcpy(p, a.str.p, a.str.n);
    }
    if (b.str.n) {
        memcpy(p + a.str.n, b.str.p, b.str.n);
    }
    return weir_tpl_new_str(run, (weir_str){p, a.str.n + b.str.n},
                            &(struct weir_tpl_value){.kind = WEIR_TPL_STR, .markup = markup});
}

static bool is_plain_list(const struct weir_tpl_value *v)
{
    return v->kind == WEIR_TPL_LIST && v->list->form <= WEIR_TPL_FORM_TUPLE;
}

static struct weir_tpl_value add_lists(struct weir_tpl_run *run, const struct weir_tpl_list *a,
                                       const struct weir_tpl_list *b)
{
    struct weir_tpl_list *sum = weir_tpl_new_list(run, a->n + b->n, a->form);
    if (!sum) {
        return weir_tpl_undefined((weir_str){NULL, 0});
    }
    memcpy(sum->items, a->items, a->n * sizeof(*a->items));
    memcpy(sum->items + a->n, b->items, b->n * sizeof(*b->items));
    return weir_tpl_list_value(sum);
}

/* `s` repeated; times < 0 counts as 0. */
static struct weir_tpl_value repeat(struct weir_tpl_run *run, struct weir_tpl_value v,
                                    int64_t times)
{
    size_t n = times > 0 ? (size_t)times : 0, total;
    size_t unit = v.kind == WEIR_TPL_STR ? v.str.n : v.list->n;
    if (__builtin_mul_overflow(n, unit, &total) || total > run->arena.limit_bytes) {
        return weir_tpl_run_no_memory(run);
    }
    if (v.kind == WEIR_TPL_LIST) {
        struct weir_tpl_list *list = weir_tpl_new_list(run, total, v.list->form);
        for (size_t i = 0; list && i < total; i++) {
            list->items[i] = v.list->items[i % unit];
        }
        return list ? weir_tpl_list_value(list) : weir_tpl_undefined((weir_str){NULL, 0});
    }
    char *p = weir_arena_alloc(&run->arena, total + 1);
    for (size_t i = 0; p && unit && i < n; i++) {
        memcpy(p + i * unit, v.str.p, unit);
    }
    return weir_tpl_new_str(run, (weir_str){p, total}, &v);
}

struct weir_tpl_value weir_tpl_operate(struct weir_tpl_run *run, enum weir_tpl_op op,
                                       struct weir_tpl_value a, struct weir_tpl_value b)
{
    int64_t x, y;
    if (run->code < 0) {
        return a;
    }
    if (weir_tpl_as_int(&a, &x) && weir_tpl_as_int(&b, &y)) {
        return operate_ints(run, op, x, y);
    }
    if (weir_tpl_is_number(&a) && weir_tpl_is_number(&b)) {
        return operate_floats(run, op, weir_tpl_as_double(&a), weir_tpl_as_double(&b));
    }
    if (op == WEIR_TPL_OP_ADD && a.kind == WEIR_TPL_STR && b.kind == WEIR_TPL_STR) {
        return add_strings(run, a, b);
    }
    if (op == WEIR_TPL_OP_ADD && is_plain_list(&a) && is_plain_list(&b) &&
        a.list->form == b.list->form) {
        return add_lists(run, a.list, b.list);
    }
    bool a_repeats = a.kind == WEIR_TPL_STR || is_plain_list(&a);
    bool b_repeats = b.kind == WEIR_TPL_STR || is_plain_list(&b);
    if (op == WEIR_TPL_OP_MUL && a_repeats && weir_tpl_as_int(&b, &y)) {
        return repeat(run, a, y);
    }
    if (op == WEIR_TPL_OP_MUL && b_repeats && weir_tpl_as_int(&a, &x)) {
        return repeat(run, b, x);
    }
    if (op == WEIR_TPL_OP_MOD && a.kind == WEIR_TPL_STR && b.kind != WEIR_TPL_UNDEFINED) {
        return weir_tpl_format_percent(run, a.str, b);
    }
    return type_error(run, &a, &b);
}

bool weir_tpl_contains(struct weir_tpl_run *run, struct weir_tpl_value container,
                       struct weir_tpl_value item)
{
    if (container.kind == WEIR_TPL_STR) {
        if (item.kind != WEIR_TPL_STR) {
            (void)type_error(run, &item, &container);
            return false;
        }
        return weir_tpl_run_spend(run, container.str.n / 64) &&
               weir_tpl_text_find(container.str, item.str, 0) != SIZE_MAX;
    }
    if (container.kind == WEIR_TPL_DICT) {
        return weir_tpl_dict_find(container.dict, &item, &run->steps) != NULL;
    }
    const struct weir_tpl_list *list = weir_tpl_iterate(run, container);
    for (size_t i = 0; list && i < list->n && run->steps; i++) {
        if (weir_tpl_equal(&list->items[i], &item, &run->steps)) {
            return true;
        }
    }
    return false;
}

bool weir_tpl_compare(struct weir_tpl_run *run, enum weir_tpl_op op, struct weir_tpl_value a,
                      struct weir_tpl_value b)
{
    int order;
    switch (op) {
    case WEIR_TPL_OP_EQ: return weir_tpl_equal(&a, &b, &run->steps);
    case WEIR_TPL_OP_NE: return !weir_tpl_equal(&a, &b, &run->steps);
    case WEIR_TPL_OP_IN: return weir_tpl_contains(run, b, a);
    case WEIR_TPL_OP_NOT_IN: return !weir_tpl_contains(run, b, a);
    default: break;
    }
    if (!weir_tpl_order(&a, &b, &run->steps, &order)) {
        (void)type_error(run, &a, &b);
        return false;
    }
    switch (op) {
    case WEIR_TPL_OP_LT: return order < 0;
    case WEIR_TPL_OP_LE: return order <= 0;
    case WEIR_TPL_OP_GT: return order > 0;
    default: return order >= 0;
    }
}
