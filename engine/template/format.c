/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "engine/template/print.h"
#include "engine/template/text.h"
#include "run.h"

enum { MAX_WIDTH = 1000 };

/* [[fill]align][sign][#][0][width][.precision][type], Python's format specification. */
struct spec {
    weir_str fill;
    char align; /* < > ^ = or 0 */
    char sign;  /* + space or 0 */
    bool zero;
    bool grouped; /* a comma between thousands */
    int width;
    int precision; /* -1: none */
    char type;     /* 0: none */
};

static size_t read_int(weir_str s, size_t at, int *ret_value)
{
    int value = 0;
    for (; at < s.n && s.p[at] >= '0' && s.p[at] <= '9'; at++) {
        value = value > MAX_WIDTH ? value : value * 10 + (s.p[at] - '0');
    }
    *ret_value = value;
    return at;
}

static bool is_align(char c)
{
    return c == '<' || c == '>' || c == '^' || c == '=';
}

static bool parse_spec(weir_str s, struct spec *ret_spec)
{
    *ret_spec = (struct spec){.fill = WEIR_STR_INIT(" "), .precision = -1};
    size_t at = 0, next = 0;
    if (s.n) {
        (void)weir_tpl_text_next(s, 0, &next);
    }
    if (next && next < s.n && is_align(s.p[next])) {
        ret_spec->fill = (weir_str){s.p, next};
        ret_spec->align = s.p[next];
        at = next + 1;
    } else if (s.n && is_align(s.p[0])) {
        ret_spec->align = s.p[0];
        at = 1;
    }
    if (at < s.n && (s.p[at] == '+' || s.p[at] == ' ' || s.p[at] == '-')) {
        ret_spec->sign = s.p[at] == '-' ? 0 : s.p[at];
        at++;
    }
    if (at < s.n && s.p[at] == '0') {
        ret_spec->zero = true;
        at++;
    }
    at = read_int(s, at, &ret_spec->width);
    if (at < s.n && s.p[at] == ',') {
        ret_spec->grouped = true;
        at++;
    }
    if (at < s.n && s.p[at] == '.') {
        at = read_int(s, at + 1, &ret_spec->precision);
    }
    if (at < s.n) {
        ret_spec->type = s.p[at++];
    }
    return at == s.n && ret_spec->width <= MAX_WIDTH && ret_spec->precision <= 100;
}

/* Digits of v by the spec's type, without sign and padding; false for a type that does not fit. */
static bool number_digits(const struct spec *spec, const struct weir_tpl_value *v, char *out,
                          size_t cap, bool *ret_negative)
{
    int64_t i;
    bool whole = weir_tpl_as_int(v, &i);
    double f = weir_tpl_as_double(v);
    uint64_t magnitude = whole && i < 0 ? 0 - (uint64_t)i : whole ? (uint64_t)i : 0;
    *ret_negative = whole ? i < 0 : f < 0;
    double positive = f < 0 ? -f : f;
    int precision = spec->precision < 0 ? 6 : spec->precision;
    switch (spec->type) {
    case 0:
    case 'd':
    case 'i':
    case 'u':
        if (!whole) {
            return false;
        }
        (void)snprintf(out, cap, "%" PRIu64, magnitude);
        return true;
    case 'x': (void)snprintf(out, cap, "%" PRIx64, magnitude); return whole;
    case 'X': (void)snprintf(out, cap, "%" PRIX64, magnitude); return whole;
    case 'o': (void)snprintf(out, cap, "%" PRIo64, magnitude); return whole;
    case 'f':
    case 'F': (void)snprintf(out, cap, "%.*f", precision, positive); return true;
    case 'e': (void)snprintf(out, cap, "%.*e", precision, positive); return true;
    case 'g': (void)snprintf(out, cap, "%.*g", precision ? precision : 1, positive); return true;
    case '%': (void)snprintf(out, cap, "%.*f%%", precision, positive * 100); return true;
    default: return false;
    }
}

static void add_fill(struct weir_tpl_run *run, weir_str fill, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        weir_buf_add_str(run->out, fill);
    }
}

static void add_grouped(struct weir_tpl_run *run, const char *digits)
{
    size_t whole = strspn(digits, "0123456789");
    for (size_t i = 0; digits[i]; i++) {
        if (i && i < whole && (whole - i) % 3 == 0) {
            weir_buf_add_char(run->out, ',');
        }
        weir_buf_add_char(run->out, digits[i]);
    }
}

static void add_padded(struct weir_tpl_run *run, const struct spec *spec, weir_str sign,
                       const char *digits)
{
    size_t whole = strspn(digits, "0123456789");
    size_t n = sign.n + strlen(digits) + (spec->grouped && whole ? (whole - 1) / 3 : 0);
    size_t pad = (size_t)spec->width > n ? (size_t)spec->width - n : 0;
    char align = spec->align ? spec->align : spec->zero ? '=' : '>';
    weir_str fill = spec->zero && !spec->align ? (weir_str)WEIR_STR_INIT("0") : spec->fill;
    size_t left = align == '>' ? pad : align == '^' ? pad / 2 : 0;
    add_fill(run, fill, left);
    weir_buf_add_str(run->out, sign);
    add_fill(run, fill, align == '=' ? pad : 0);
    if (spec->grouped) {
        add_grouped(run, digits);
    } else {
        weir_buf_add_text(run->out, digits);
    }
    add_fill(run, fill, align == '=' ? 0 : pad - left);
}

static void add_text(struct weir_tpl_run *run, const struct spec *spec, weir_str s, char align)
{
    if (spec->precision >= 0) {
        s.n = weir_tpl_text_offset(s, (size_t)spec->precision);
    }
    size_t n = weir_tpl_text_len(s);
    size_t pad = (size_t)spec->width > n ? (size_t)spec->width - n : 0;
    size_t left = align == '>' ? pad : align == '^' ? pad / 2 : 0;
    add_fill(run, spec->fill, left);
    weir_buf_add_str(run->out, s);
    add_fill(run, spec->fill, pad - left);
}

/* Writes one value by its spec; default_align is for text. */
static void add_value(struct weir_tpl_run *run, const struct spec *spec, struct weir_tpl_value v,
                      char default_align)
{
    bool as_text = spec->type == 's' || v.kind == WEIR_TPL_STR || !weir_tpl_is_number(&v) ||
                   (spec->type == 0 && v.kind != WEIR_TPL_INT && spec->precision < 0);
    if (as_text) {
        if (spec->type && spec->type != 's') {
            (void)weir_tpl_run_fail(run, WEIR_E_ARG, "format '%c' does not fit the value",
                                    spec->type);
            return;
        }
        struct weir_tpl_value s = weir_tpl_new_str(run, weir_tpl_to_str(run, v), NULL);
        if (run->code == 0) {
            add_text(run, spec, s.str,
                     spec->align              ? spec->align
                     : weir_tpl_is_number(&v) ? '>'
                                              : default_align);
        }
        return;
    }
    char digits[512];
    bool negative;
    if (!number_digits(spec, &v, digits, sizeof(digits), &negative)) {
        (void)weir_tpl_run_fail(run, WEIR_E_ARG, "a number cannot be written in this format");
        return;
    }
    weir_str sign = negative            ? (weir_str)WEIR_STR_INIT("-")
                    : spec->sign == '+' ? (weir_str)WEIR_STR_INIT("+")
                    : spec->sign        ? (weir_str)WEIR_STR_INIT(" ")
                                        : (weir_str){NULL, 0};
    add_padded(run, spec, sign, digits);
}

/* Reads a % conversion behind the sign; returns the offset behind it, 0 when malformed. */
static size_t parse_conversion(weir_str s, size_t at, struct spec *ret_spec, weir_str *ret_key)
{
    *ret_spec = (struct spec){.fill = WEIR_STR_INIT(" "), .precision = -1};
    *ret_key = (weir_str){NULL, 0};
    if (at < s.n && s.p[at] == '(') {
        size_t end = weir_tpl_text_find(s, (weir_str)WEIR_STR_INIT(")"), at);
        if (end == SIZE_MAX) {
            return 0;
        }
        *ret_key = (weir_str){s.p + at + 1, end - at - 1};
        at = end + 1;
    }
    for (; at < s.n && s.p[at] && strchr("-+ 0#", s.p[at]); at++) {
        ret_spec->align = s.p[at] == '-' ? '<' : ret_spec->align;
        ret_spec->sign = s.p[at] == '+' || s.p[at] == ' ' ? s.p[at] : ret_spec->sign;
        ret_spec->zero |= s.p[at] == '0';
    }
    at = read_int(s, at, &ret_spec->width);
    if (at < s.n && s.p[at] == '.') {
        at = read_int(s, at + 1, &ret_spec->precision);
    }
    if (at >= s.n || ret_spec->width > MAX_WIDTH || ret_spec->precision > 100) {
        return 0;
    }
    ret_spec->type = s.p[at];
    return at + 1;
}

/* The value for the next conversion: by key from a dict, else the next of a tuple or the value. */
static bool next_value(struct weir_tpl_run *run, struct weir_tpl_value values, weir_str key,
                       size_t *used, struct weir_tpl_value *ret_value)
{
    if (key.p) {
        *ret_value = weir_tpl_item(run, values, weir_tpl_str(key));
        return run->code == 0;
    }
    bool many = values.kind == WEIR_TPL_LIST && values.list->form == WEIR_TPL_FORM_TUPLE;
    size_t n = many ? values.list->n : 1;
    if (*used >= n) {
        (void)weir_tpl_run_fail(run, WEIR_E_ARG, "not enough arguments for the format");
        return false;
    }
    *ret_value = many ? values.list->items[*used] : values;
    (*used)++;
    return true;
}

static size_t add_conversion(struct weir_tpl_run *run, weir_str format, size_t at,
                             struct weir_tpl_value values, size_t *used)
{
    struct spec spec;
    weir_str key;
    size_t next = parse_conversion(format, at, &spec, &key);
    struct weir_tpl_value v;
    if (next == 0) {
        (void)weir_tpl_run_fail(run, WEIR_E_ARG, "a '%%' format is incomplete");
        return format.n;
    }
    if (spec.type == '%') {
        weir_buf_add_char(run->out, '%');
        return next;
    }
    if (!next_value(run, values, key, used, &v)) {
        return format.n;
    }
    if (spec.type == 'r') {
        size_t begin = weir_tpl_capture_begin(run);
        (void)weir_tpl_print_repr(run->out, &v, &run->steps);
        v = weir_tpl_capture_end(run, begin);
        spec.type = 's';
    }
    if (spec.type == 'd' && v.kind == WEIR_TPL_FLOAT && v.f > -9e18 && v.f < 9e18) {
        v = weir_tpl_int((int64_t)v.f);
    }
    add_value(run, &spec, v, '>');
    return next;
}

struct weir_tpl_value weir_tpl_format_percent(struct weir_tpl_run *run, weir_str format,
                                              struct weir_tpl_value values)
{
    size_t begin = weir_tpl_capture_begin(run), used = 0;
    for (size_t at = 0; at < format.n && run->code == 0;) {
        if (format.p[at] == '%') {
            at = add_conversion(run, format, at + 1, values, &used);
        } else {
            weir_buf_add_char(run->out, format.p[at++]);
        }
    }
    return weir_tpl_capture_end(run, begin);
}

/* The value of a replacement field: `name`, `0` or nothing, with .attr and [item] behind it. */
static struct weir_tpl_value field_value(struct weir_tpl_run *run, weir_str field,
                                         const struct weir_tpl_args *args, size_t *next_index)
{
    size_t n = 0;
    while (n < field.n && field.p[n] != '.' && field.p[n] != '[') {
        n++;
    }
    weir_str first = {field.p, n};
    const struct weir_tpl_value *found = NULL;
    if (n == 0 || (first.p[0] >= '0' && first.p[0] <= '9')) {
        int index = (int)(n ? 0 : *next_index);
        if (n) {
            (void)read_int(first, 0, &index);
        } else {
            (*next_index)++;
        }
        found = (size_t)index < args->n_plain ? &args->values[index] : NULL;
    }
    for (size_t i = args->n_plain; n && i < args->n; i++) {
        found = weir_str_eq(args->names[i], first) ? &args->values[i] : found;
    }
    if (!found) {
        return weir_tpl_run_fail(run, WEIR_E_ARG, "format() lacks the argument '%.*s'", (int)n,
                                 first.p);
    }
    struct weir_tpl_value v = *found;
    for (size_t at = n; at < field.n && run->code == 0;) {
        bool item = field.p[at] == '[';
        size_t end = at + 1;
        while (end < field.n &&
               (item ? field.p[end] != ']' : field.p[end] != '.' && field.p[end] != '[')) {
            end++;
        }
        weir_str name = {field.p + at + 1, end - at - 1};
        int index = 0;
        bool number = name.n && read_int(name, 0, &index) == name.n;
        struct weir_tpl_value key = number ? weir_tpl_int(index) : weir_tpl_str(name);
        v = item ? weir_tpl_item(run, v, key) : weir_tpl_attr(run, v, name);
        at = end + item;
    }
    return v;
}

/* Writes the field that starts behind `{` at `at`; returns the offset behind its `}`. */
static size_t add_field(struct weir_tpl_run *run, weir_str format, size_t at,
                        const struct weir_tpl_args *args, size_t *next_index)
{
    size_t end = weir_tpl_text_find(format, (weir_str)WEIR_STR_INIT("}"), at);
    if (end == SIZE_MAX) {
        (void)weir_tpl_run_fail(run, WEIR_E_ARG, "format() has a '{' without '}'");
        return format.n;
    }
    weir_str field = {format.p + at, end - at}, spec_text = {NULL, 0};
    const char *colon = field.n ? memchr(field.p, ':', field.n) : NULL;
    if (colon) {
        spec_text = (weir_str){colon + 1, (size_t)(field.p + field.n - colon - 1)};
        field.n = (size_t)(colon - field.p);
    }
    bool repr = field.n > 1 && field.p[field.n - 2] == '!' && field.p[field.n - 1] == 'r';
    bool str = field.n > 1 && field.p[field.n - 2] == '!' && field.p[field.n - 1] == 's';
    field.n -= repr || str ? 2 : 0;
    struct spec spec;
    if (!parse_spec(spec_text, &spec)) {
        (void)weir_tpl_run_fail(run, WEIR_E_ARG, "format() does not know this specification");
        return format.n;
    }
    struct weir_tpl_value v = field_value(run, field, args, next_index);
    if (run->code == 0 && repr) {
        size_t begin = weir_tpl_capture_begin(run);
        (void)weir_tpl_print_repr(run->out, &v, &run->steps);
        v = weir_tpl_capture_end(run, begin);
    } else if (run->code == 0 && str) {
        v = weir_tpl_str(weir_tpl_to_str(run, v));
    }
    if (run->code == 0) {
        add_value(run, &spec, v, '<');
    }
    return end + 1;
}

struct weir_tpl_value weir_tpl_format_braces(struct weir_tpl_run *run, weir_str format,
                                             const struct weir_tpl_args *args)
{
    size_t begin = weir_tpl_capture_begin(run), next_index = 0;
    for (size_t at = 0; at < format.n && run->code == 0;) {
        char c = format.p[at];
        bool doubled = at + 1 < format.n && format.p[at + 1] == c;
        if ((c == '{' || c == '}') && doubled) {
            weir_buf_add_char(run->out, c);
            at += 2;
        } else if (c == '{') {
            at = add_field(run, format, at + 1, args, &next_index);
        } else if (c == '}') {
            return weir_tpl_run_fail(run, WEIR_E_ARG, "format() has a '}' without '{'");
        } else {
            weir_buf_add_char(run->out, c);
            at++;
        }
    }
    return weir_tpl_capture_end(run, begin);
}
