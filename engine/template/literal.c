/* SPDX-License-Identifier: Apache-2.0 */
#include "literal.h"

#include <errno.h>
#include <stdlib.h>

#include "base/utf8.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* n hex digits at s.p[at]; false when cut or no scalar value. */
static bool read_hex(weir_str s, size_t at, size_t n, uint32_t *ret_cp)
{
    uint32_t cp = 0;
    for (size_t i = 0; i < n; i++) {
        int digit = at + i < s.n ? hex_digit(s.p[at + i]) : -1;
        if (digit < 0 || cp > 0x10FFFF) {
            return false;
        }
        cp = cp * 16 + (uint32_t)digit;
    }
    *ret_cp = cp;
    return cp <= 0x10FFFF && (cp < 0xD800 || cp > 0xDFFF);
}

/* One escape; *at stands behind the backslash and is moved behind the escape. Returns the bytes
 * written to out (at most 4), or -1. */
static int read_escape(weir_str raw, size_t *at, char *out)
{
    static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
    char c = raw.p[(*at)++];
    const char *simple = c ? strchr(from, c) : NULL;
    uint32_t cp = 0;
    if (simple) {
        out[0] = to[simple - from];
        return 1;
    }
    if (c == '\n') {
        return 0;
    }
    if (c == 'x' || c == 'u' || c == 'U') {
        size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        if (!read_hex(raw, *at, digits, &cp)) {
            return -1;
        }
        *at += digits;
        return (int)weir_utf8_encode(cp, out);
    }
    if (c >= '0' && c <= '7') {
        cp = (uint32_t)(c - '0');
        for (int i = 0; i < 2 && *at < raw.n && raw.p[*at] >= '0' && raw.p[*at] <= '7'; i++) {
            cp = cp * 8 + (uint32_t)(raw.p[(*at)++] - '0');
        }
        return (int)weir_utf8_encode(cp, out);
    }
    out[0] = '\\';
    out[1] = c;
    return 2;
}

int weir_tpl_literal_string(struct weir_arena *a, weir_str raw, weir_str *ret_text)
{
    /* The longest growth is none: every escape is at least as long as what it stands for. */
    char *out = weir_arena_alloc(a, raw.n + 4);
    if (!out) {
        return WEIR_E_NOMEM;
    }
    size_t n = 0;
    for (size_t at = 0; at < raw.n;) {
        if (raw.p[at] != '\\' || at + 1 == raw.n) {
            out[n++] = raw.p[at++];
            continue;
        }
        at++;
        int wrote = read_escape(raw, &at, out + n);
        if (wrote < 0) {
            return WEIR_E_FORMAT;
        }
        n += (size_t)wrote;
    }
    *ret_text = (weir_str){out, n};
    return 0;
}

/* Copies digits of `base` without underscores; returns how many characters of s were read. */
static size_t copy_digits(weir_str s, size_t at, int base, char *out, size_t cap, size_t *n)
{
    size_t i = at;
    for (; i < s.n; i++) {
        if (s.p[i] == '_') {
            continue;
        }
        int digit = hex_digit(s.p[i]);
        if (digit < 0 || digit >= base) {
            break;
        }
        if (*n + 1 < cap) {
            out[(*n)++] = s.p[i];
        }
    }
    return i - at;
}

static size_t read_integer(weir_str s, size_t at, int base, struct weir_tpl_token *ret_token)
{
    char digits[80];
    size_t n = 0;
    size_t len = copy_digits(s, at, base, digits, sizeof(digits), &n);
    digits[n] = '\0';
    errno = 0;
    long long value = strtoll(digits, NULL, base);
    if (n == 0 || errno != 0) {
        return 0;
    }
    ret_token->kind = WEIR_TPL_TOKEN_INT;
    ret_token->i = value;
    return at + len;
}

static bool digit_at(weir_str s, size_t at)
{
    return at < s.n && s.p[at] >= '0' && s.p[at] <= '9';
}

/* Length of a float at the start of s, 0 when there is none; its digits go to out. */
static size_t read_float(weir_str s, char *out, size_t cap)
{
    size_t n = 0;
    size_t at = copy_digits(s, 0, 10, out, cap, &n);
    size_t integer = at;
    if (at < s.n && s.p[at] == '.' && digit_at(s, at + 1) && n + 2 < cap) {
        out[n++] = '.';
        at += 1 + copy_digits(s, at + 1, 10, out, cap, &n);
    }
    if (at < s.n && (s.p[at] == 'e' || s.p[at] == 'E')) {
        size_t sign = at + 1 < s.n && (s.p[at + 1] == '+' || s.p[at + 1] == '-');
        if (digit_at(s, at + 1 + sign) && n + 3 < cap) {
            out[n++] = 'e';
            if (sign) {
                out[n++] = s.p[at + 1];
            }
            at += 1 + sign;
            at += copy_digits(s, at, 10, out, cap, &n);
        }
    }
    out[n] = '\0';
    return at == integer ? 0 : at;
}

size_t weir_tpl_literal_number(weir_str s, bool floats, struct weir_tpl_token *ret_token)
{
    if (s.n > 2 && s.p[0] == '0') {
        char kind = (char)(s.p[1] | 0x20);
        int base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
        if (base) {
            return read_integer(s, 2, base, ret_token);
        }
    }
    char digits[128];
    size_t len = floats ? read_float(s, digits, sizeof(digits)) : 0;
    if (len) {
        ret_token->kind = WEIR_TPL_TOKEN_FLOAT;
        ret_token->f = strtod(digits, NULL);
        return len;
    }
    return read_integer(s, 0, 10, ret_token);
}
