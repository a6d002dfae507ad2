/* SPDX-License-Identifier: Apache-2.0 */
#include "scalar.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>

enum { MAX_NUMBER_BYTES = 64 };

static bool is_any(weir_str s, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (weir_str_is(s, words[i])) {
            return true;
        }
    }
    return false;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return 16;
}

/* True when all of s are digits of the base; *ret_fits says whether the value fits. */
static bool parse_digits(weir_str s, unsigned base, uint64_t *ret_value, bool *ret_fits)
{
    uint64_t v = 0;
    *ret_fits = true;
    for (size_t i = 0; i < s.n; i++) {
        unsigned d = (unsigned)digit_value(s.p[i]);
        if (d >= base) {
            return false;
        }
        if (__builtin_mul_overflow(v, (uint64_t)base, &v) ||
            __builtin_add_overflow(v, (uint64_t)d, &v)) {
            *ret_fits = false;
            v = 0;
        }
    }
    *ret_value = v;
    return s.n > 0;
}

/* 1: an integer, stored; 0: not one; negative: one that does not fit. */
static int parse_integer(weir_str s, struct weir_scalar *out)
{
    bool negative = s.n && s.p[0] == '-';
    unsigned base = 10;
    weir_str digits = s;
    if (s.n > 2 && s.p[0] == '0' && (s.p[1] == 'x' || s.p[1] == 'o')) {
        base = s.p[1] == 'x' ? 16 : 8;
        digits = (weir_str){s.p + 2, s.n - 2};
    } else if (s.n && (s.p[0] == '-' || s.p[0] == '+')) {
        digits = (weir_str){s.p + 1, s.n - 1};
    }
    uint64_t v;
    bool fits;
    if (!parse_digits(digits, base, &v, &fits)) {
        return 0;
    }
    uint64_t limit = (uint64_t)INT64_MAX + (negative ? 1 : 0);
    if (!fits || v > limit) {
        return WEIR_E_TOOBIG;
    }
    out->kind = WEIR_SCALAR_INT;
    out->integer = negative ? (int64_t)(0 - v) : (int64_t)v;
    out->number = (double)out->integer;
    return 1;
}

static size_t skip_digits(weir_str s, size_t i)
{
    while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9') {
        i++;
    }
    return i;
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool looks_like_float(weir_str s)
{
    size_t i = s.n && (s.p[0] == '-' || s.p[0] == '+') ? 1 : 0;
    size_t whole = skip_digits(s, i);
    size_t n_digits = whole - i;
    i = whole;
    if (i < s.n && s.p[i] == '.') {
        size_t end = skip_digits(s, i + 1);
        n_digits += end - i - 1;
        i = end;
    }
    if (n_digits == 0) {
        return false;
    }
    if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
        i++;
        if (i < s.n && (s.p[i] == '-' || s.p[i] == '+')) {
            i++;
        }
        size_t end = skip_digits(s, i);
        if (end == i) {
            return false;
        }
        i = end;
    }
    return i == s.n;
}

/* strtod follows the locale's decimal point; the file's is always '.'. */
static double parse_double(const char *text)
{
    locale_t c = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    if (c == (locale_t)0) {
        return strtod(text, NULL);
    }
    double v = strtod_l(text, NULL, c);
    freelocale(c);
    return v;
}

int weir_scalar_resolve(weir_str text, struct weir_scalar *ret_scalar)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    static const char *const trues[] = {"true", "True", "TRUE"};
    static const char *const falses[] = {"false", "False", "FALSE"};
    static const char *const specials[] = {".inf",  ".Inf",  ".INF",  "-.inf", "-.Inf", "-.INF",
                                           "+.inf", "+.Inf", "+.INF", ".nan",  ".NaN",  ".NAN"};

    *ret_scalar = (struct weir_scalar){.kind = WEIR_SCALAR_STRING};
    if (is_any(text, nulls, sizeof(nulls) / sizeof(nulls[0]))) {
        ret_scalar->kind = WEIR_SCALAR_NULL;
        return 0;
    }
    bool is_true = is_any(text, trues, sizeof(trues) / sizeof(trues[0]));
    if (is_true || is_any(text, falses, sizeof(falses) / sizeof(falses[0]))) {
        ret_scalar->kind = WEIR_SCALAR_BOOL;
        ret_scalar->boolean = is_true;
        return 0;
    }
    if (is_any(text, specials, sizeof(specials) / sizeof(specials[0]))) {
        return WEIR_E_UNSUPPORTED;
    }
    int r = parse_integer(text, ret_scalar);
    if (r != 0) {
        return r < 0 ? r : 0;
    }
    if (!looks_like_float(text)) {
        return 0;
    }
    char number[MAX_NUMBER_BYTES];
    if (text.n >= sizeof(number)) {
        return WEIR_E_TOOBIG;
    }
    memcpy(number, text.p, text.n);
    number[text.n] = '\0';
    double v = parse_double(number);
    if (!isfinite(v)) {
        return WEIR_E_TOOBIG;
    }
    ret_scalar->kind = WEIR_SCALAR_FLOAT;
    ret_scalar->number = v;
    return 0;
}
