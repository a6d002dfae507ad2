/* SPDX-License-Identifier: Apache-2.0 */
#include "utf8.h"

static bool is_tail(unsigned char c)
{
    return (c & 0xC0u) == 0x80u;
}

/* Length that the first byte announces; 0 when it cannot begin a character. */
static size_t announced_len(unsigned char c)
{
    if (c < 0x80) return 1;
    if (c >= 0xC2 && c <= 0xDF) return 2;
    if (c >= 0xE0 && c <= 0xEF) return 3;
    if (c >= 0xF0 && c <= 0xF4) return 4;
    return 0;
}

/* The second byte's range depends on the first (table 3-7). */
static bool second_ok(unsigned char first, unsigned char second)
{
    switch (first) {
    case 0xE0: return second >= 0xA0 && second <= 0xBF;
    case 0xED: return second >= 0x80 && second <= 0x9F;
    case 0xF0: return second >= 0x90 && second <= 0xBF;
    case 0xF4: return second >= 0x80 && second <= 0x8F;
    default: return is_tail(second);
    }
}

size_t weir_utf8_valid_len(const char *p, size_t n_bytes)
{
    const unsigned char *u = (const unsigned char *)p;
    size_t len = n_bytes ? announced_len(u[0]) : 0;
    if (len == 0 || len > n_bytes || (len > 1 && !second_ok(u[0], u[1]))) {
        return 0;
    }
    for (size_t i = 2; i < len; i++) {
        if (!is_tail(u[i])) {
            return 0;
        }
    }
    return len;
}

size_t weir_utf8_partial_tail(weir_str s)
{
    const unsigned char *u = (const unsigned char *)s.p;
    for (size_t back = 1; back <= 3 && back <= s.n; back++) {
        unsigned char c = u[s.n - back];
        if (is_tail(c)) {
            continue;
        }
        size_t len = announced_len(c);
        if (len <= back || (back > 1 && !second_ok(c, u[s.n - back + 1]))) {
            return 0;
        }
        return back;
    }
    return 0;
}

bool weir_utf8_is_valid(weir_str s)
{
    size_t i = 0;
    while (i < s.n) {
        size_t len = weir_utf8_valid_len(s.p + i, s.n - i);
        if (len == 0) {
            return false;
        }
        i += len;
    }
    return true;
}

size_t weir_utf8_decode(const char *p, size_t n_bytes, uint32_t *ret_cp)
{
    static const unsigned char first_mask[5] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    size_t len = weir_utf8_valid_len(p, n_bytes);
    if (len == 0) {
        return 0;
    }
    const unsigned char *u = (const unsigned char *)p;
    uint32_t cp = u[0] & first_mask[len];
    for (size_t i = 1; i < len; i++) {
        cp = cp << 6 | (u[i] & 0x3Fu);
    }
    *ret_cp = cp;
    return len;
}

size_t weir_utf8_encode(uint32_t cp, char *out)
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xC0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xE0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3F));
        out[2] = (char)(0x80 | (cp & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3F));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3F));
    out[3] = (char)(0x80 | (cp & 0x3F));
    return 4;
}
