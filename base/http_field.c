/* SPDX-License-Identifier: Apache-2.0 */
#include "http_field.h"

#include <string.h>

/* Sixteen bytes at a time; a comparison gives 0xff or 0 for each. */
typedef uint8_t bytes16 __attribute__((vector_size(16)));

static bytes16 load16(const char *p)
{
    bytes16 v;
    memcpy(&v, p, sizeof(v));
    return v;
}

/* All bytes of a text of 1 to 16, some of them twice. */
static bytes16 load_short(weir_str s)
{
    uint64_t a, b;
    if (s.n >= 8) {
        memcpy(&a, s.p, sizeof(a));
        memcpy(&b, s.p + s.n - 8, sizeof(b));
    } else if (s.n >= 4) {
        uint32_t first, last;
        memcpy(&first, s.p, sizeof(first));
        memcpy(&last, s.p + s.n - 4, sizeof(last));
        a = b = (uint64_t)first << 32 | last;
    } else {
        uint8_t first = (uint8_t)s.p[0], middle = (uint8_t)s.p[s.n / 2];
        a = b =
            UINT64_C(0x0101010101010000) * first | (uint32_t)middle << 8 | (uint8_t)s.p[s.n - 1];
    }
    const uint64_t both[2] = {a, b};
    bytes16 v;
    memcpy(&v, both, sizeof(v));
    return v;
}

static bool are_all(bytes16 holds)
{
    uint64_t half[2];
    memcpy(half, &holds, sizeof(half));
    return (half[0] & half[1]) == UINT64_MAX;
}

/* Letters, digits and hyphens, as in nearly all names. */
static bytes16 are_plain(bytes16 v)
{
    return (bytes16)(((v | 0x20) - 'a' < 26) | (v - '0' < 10) | (v == '-'));
}

/* No control characters, a tab neither. */
static bytes16 are_printed(bytes16 v)
{
    return (bytes16)((v >= 0x20) & (v != 0x7f));
}

/* Does `what` hold for all bytes? Inlined with it. */
static inline bool holds_for(weir_str s, bytes16 (*what)(bytes16))
{
    if (s.n <= 16) {
        return s.n == 0 || are_all(what(load_short(s)));
    }
    bytes16 all = what(load16(s.p + s.n - 16));
    for (size_t i = 0; s.n - i > 16; i += 16) {
        all &= what(load16(s.p + i));
    }
    return are_all(all);
}

bool weir_http_is_token(weir_str s)
{
    /* A bit for each tchar: !#$%&'*+-.^_`|~, digits, letters. */
    static const uint64_t tchars[4] = {UINT64_C(0x03ff6cfa00000000), UINT64_C(0x57ffffffc7fffffe)};
    if (holds_for(s, are_plain)) {
        return s.n > 0;
    }
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (!(tchars[c >> 6] >> (c & 63) & 1)) {
            return false;
        }
    }
    return true;
}

bool weir_http_is_field_value(weir_str s)
{
    if (holds_for(s, are_printed)) {
        return true;
    }
    for (size_t i = 0; i < s.n; i++) {
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
