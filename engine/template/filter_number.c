/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "engine/template/text.h"
#include "filter.h"

#define FILTER(name)                                                                               \
    static struct weir_tpl_value name(struct weir_tpl_run *run, struct weir_tpl_value in,          \
                                      const struct weir_tpl_args *args)

static struct weir_tpl_value needs_number(struct weir_tpl_run *run, const struct weir_tpl_value *v)
{
    return v->kind == WEIR_TPL_UNDEFINED
               ? weir_tpl_run_undefined(run, v)
               : weir_tpl_run_fail(run, WEIR_E_ARG, "a number expected, not '%s'",
                                   weir_tpl_type_name(v));
}

FILTER(filter_abs)
{
    (void)args;
    int64_t i, positive;
    if (weir_tpl_as_int(&in, &i)) {
        if (i >= 0) {
            return weir_tpl_int(i);
        }
        return __builtin_sub_overflow(0, i, &positive)
                   ? weir_tpl_run_fail(run, WEIR_E_ARG, "a whole number is too large")
                   : weir_tpl_int(positive);
    }
    return in.kind == WEIR_TPL_FLOAT ? weir_tpl_float(fabs(in.f)) : needs_number(run, &in);
}

FILTER(filter_round)
{
    int64_t precision = weir_tpl_arg_int(run, args, 0, "precision", 0);
    weir_str method = weir_tpl_arg_str(run, args, 1, "method", (weir_str)WEIR_STR_INIT("common"));
    if (!weir_tpl_is_number(&in)) {
        return needs_number(run, &in);
    }
    double scale = pow(10, (double)precision), v = weir_tpl_as_double(&in);
    if (weir_str_is(method, "ceil")) {
        return weir_tpl_float(ceil(v * scale) / scale);
    }
    if (weir_str_is(method, "floor")) {
        return weir_tpl_float(floor(v * scale) / scale);
    }
    if (!weir_str_is(method, "common")) {
        return weir_tpl_run_fail(run, WEIR_E_ARG, "round knows common, ceil and floor");
    }
    if (in.kind != WEIR_TPL_FLOAT && precision >= 0) {
        return in;
    }
    /* Python rounds the exact decimal value half to even; printf does the same. */
    if (precision >= 0 && precision < 300 && isfinite(v) && fabs(v) < 1e15) {
        char digits[400];
        (void)snprintf(digits, sizeof(digits), "%.*f", (int)precision, v);
        return weir_tpl_float(strtod(digits, NULL));
    }
    return weir_tpl_float(nearbyint(v * scale) / scale);
}

/* A decimal number in text, white space and underscores allowed as in Python; false otherwise. */
static bool parse_number(weir_str s, bool whole, struct weir_tpl_value *ret_value)
{
    char digits[64];
    s = weir_tpl_text_strip(s, (weir_str){NULL, 0}, WEIR_TPL_BOTH);
    if (s.n == 0 || s.n >= sizeof(digits)) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (!strchr(whole ? "+-0123456789" : "+-0123456789.eEinfaINFA", s.p[i]) || !s.p[i]) {
            return false;
        }
    }
    memcpy(digits, s.p, s.n);
    digits[s.n] = '\0';
    char *end;
    errno = 0;
    if (whole) {
        *ret_value = weir_tpl_int(strtoll(digits, &end, 10));
        return *end == '\0' && end != digits && errno == 0;
    }
    *ret_value = weir_tpl_float(strtod(digits, &end));
    return *end == '\0' && end != digits;
}

static struct weir_tpl_value truncated(double f, struct weir_tpl_value otherwise)
{
    return f > -9.2e18 && f < 9.2e18 ? weir_tpl_int((int64_t)f) : otherwise;
}

FILTER(filter_int)
{
    const struct weir_tpl_value *given = weir_tpl_arg(args, 0, "default");
    int64_t base = weir_tpl_arg_int(run, args, 1, "base", 10);
    struct weir_tpl_value otherwise = given ? *given : weir_tpl_int(0), v;
    int64_t i;
    if (weir_tpl_as_int(&in, &i)) {
        return weir_tpl_int(i);
    }
    if (in.kind == WEIR_TPL_INT) {
        return in;
    }
    if (in.kind == WEIR_TPL_FLOAT) {
        return truncated(in.f, otherwise);
    }
    if (in.kind == WEIR_TPL_UNDEFINED) {
        return weir_tpl_run_undefined(run, &in);
    }
    if (in.kind != WEIR_TPL_STR) {
        return otherwise;
    }
    if (base != 10) {
        weir_str copy = weir_arena_copy(&run->arena, in.str);
        char *end = NULL;
        errno = 0;
        long long value =
            copy.p && copy.n && base >= 2 && base <= 36 ? strtoll(copy.p, &end, (int)base) : 0;
        return end && end == copy.p + copy.n && errno == 0 ? weir_tpl_int(value) : otherwise;
    }
    if (parse_number(in.str, true, &v)) {
        return v;
    }
    return parse_number(in.str, false, &v) ? truncated(v.f, otherwise) : otherwise;
}

FILTER(filter_float)
{
    const struct weir_tpl_value *given = weir_tpl_arg(args, 0, "default");
    struct weir_tpl_value otherwise = given ? *given : weir_tpl_float(0), v;
    if (weir_tpl_is_number(&in)) {
        return weir_tpl_float(weir_tpl_as_double(&in));
    }
    if (in.kind == WEIR_TPL_UNDEFINED) {
        return weir_tpl_run_undefined(run, &in);
    }
    return in.kind == WEIR_TPL_STR && parse_number(in.str, false, &v) ? v : otherwise;
}

#undef FILTER

const struct weir_tpl_filter weir_tpl_number_filters[] = {
    {"abs", filter_abs}, {"round", filter_round}, {"int", filter_int}, {"float", filter_float},
    {NULL, NULL},
};
