/* SPDX-License-Identifier: Apache-2.0 */
#include "http_field.h"

#include <string.h>

/* Eight letters and hyphens, as in nearly all names. A byte's high bit says what holds for it;
 * nothing is borrowed from the next one, since all begin above 127. */
static bool are_plain(const char *p)
{
    const uint64_t each = UINT64_C(0x0101010101010101), high = each << 7;
    uint64_t w;
    memcpy(&w, p, sizeof(w));
    uint64_t lower = w | each * 0x20;
    uint64_t from_a = (lower | high) - each * 'a', to_z = (each * 'z' | high) - (lower & ~high);
    uint64_t is_other = ((w ^ each * '-') | high) - each;
    return (((from_a & to_z) | ~is_other) & ~w & high) == high;
}

bool weir_http_is_token(weir_str s)
{
    /* A bit for each tchar: !#$%&'*+-.^_`|~, digits, letters. */
    static const uint64_t tchars[4] = {UINT64_C(0x03ff6cfa00000000), UINT64_C(0x57ffffffc7fffffe)};
    size_t i = 0;
    while (s.n - i >= 8 && are_plain(s.p + i)) {
        i += 8;
    }
    if (s.n >= 8 && s.n - i < 8 && are_plain(s.p + s.n - 8)) {
        return true;
    }
    for (; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (!(tchars[c >> 6] >> (c & 63) & 1)) {
            return false;
        }
    }
    return s.n > 0;
}

/* Eight bytes, none of which is a control character, a tab neither. */
static bool are_printed(const char *p)
{
    const uint64_t each = UINT64_C(0x0101010101010101), high = each << 7;
    uint64_t w;
    memcpy(&w, p, sizeof(w));
    uint64_t seven = w & ~high, from_space = (seven | high) - each * 0x20;
    uint64_t not_del = ((seven ^ each * 0x7f) | high) - each;
    return (((from_space & not_del) | w) & high) == high;
}

bool weir_http_is_field_value(weir_str s)
{
    size_t i = 0;
    while (s.n - i >= 8 && are_printed(s.p + i)) {
        i += 8;
    }
    for (; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

/* No token has a control character, and only those become digits or a hyphen with the bit that
 * tells cases apart. */
static bool are_same(const char *name, const char *known)
{
    uint64_t a, b;
    memcpy(&a, name, sizeof(a));
    memcpy(&b, known, sizeof(b));
    return (a | UINT64_C(0x2020202020202020)) == b;
}

bool weir_http_is_named(weir_str name, weir_str known)
{
    size_t i = 0, n = known.n;
    if (name.n != n) {
        return false;
    }
    for (; n - i >= 8; i += 8) {
        if (!are_same(name.p + i, known.p + i)) {
            return false;
        }
    }
    if (n >= 8) {
        return are_same(name.p + n - 8, known.p + n - 8);
    }
    while (i < n && (name.p[i] | 0x20) == known.p[i]) {
        i++;
    }
    return i == n;
}
