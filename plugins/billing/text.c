/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include <string.h>

void billing_text_add(struct billing_text *t, weir_str s)
{
    if (t->failed || s.n > t->cap - t->n) {
        t->failed = true;
        return;
    }
    if (s.n) {
        memcpy(t->bytes + t->n, s.p, s.n);
        t->n += s.n;
    }
}

void billing_text_number(struct billing_text *t, int64_t v)
{
    char digits[20];
    size_t at = sizeof(digits);
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    while (u >= 100) { /* two at a time: times have sixteen */
        unsigned pair = (unsigned)(u % 100);
        u /= 100;
        digits[--at] = (char)('0' + pair % 10);
        digits[--at] = (char)('0' + pair / 10);
    }
    do {
        digits[--at] = (char)('0' + u % 10);
        u /= 10;
    } while (u);
    if (v < 0) {
        billing_text_literal(t, "-");
    }
    billing_text_add(t, (weir_str){digits + at, sizeof(digits) - at});
}

/* Bytes of the well-formed UTF-8 character at p (RFC 3629), 0: none. */
static size_t character_bytes(const unsigned char *p, size_t n)
{
    unsigned char c = p[0], low = 0x80, high = 0xBF;
    if (c < 0x80) {
        return 1;
    }
    size_t len = c >= 0xC2 && c <= 0xDF   ? 2
                 : (c & 0xF0) == 0xE0     ? 3
                 : c >= 0xF0 && c <= 0xF4 ? 4
                                          : 0;
    if (len == 0 || len > n) {
        return 0;
    }
    low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : low;
    high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : high;
    if (p[1] < low || p[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return len;
}

/* How many of the first n bytes stand in a JSON text as they are. */
static size_t plain_bytes(const unsigned char *p, size_t n)
{
    const uint64_t each = UINT64_C(0x0101010101010101), high = each << 7;
    size_t i = 0;
    for (; n - i >= 8; i += 8) { /* a byte that is zero borrows into its high bit */
        uint64_t w;
        memcpy(&w, p + i, 8);
        uint64_t quote = w ^ each * '"', backslash = w ^ each * '\\', del = w ^ each * 0x7f;
        uint64_t found = (w - each * 0x20) | (quote - each) | (backslash - each) | (del - each) | w;
        if (found & high) {
            break;
        }
    }
    while (i < n && p[i] >= 0x20 && p[i] < 0x7f && p[i] != '"' && p[i] != '\\') {
        i++;
    }
    return i;
}

static void add_escaped(struct billing_text *t, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    if (c == '"' || c == '\\') {
        billing_text_add(t, (weir_str){(const char[]){'\\', (char)c}, 2});
    } else {
        billing_text_add(
            t, (weir_str){(const char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6});
    }
}

void billing_text_string(struct billing_text *t, weir_str s, size_t max_bytes)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t n = s.n < max_bytes ? s.n : max_bytes;
    billing_text_literal(t, "\"");
    for (size_t i = 0, len; i < n; i += len) {
        len = plain_bytes(p + i, n - i); /* most texts are one run of these */
        if (len > 0) {
            billing_text_add(t, (weir_str){s.p + i, len});
            continue;
        }
        len = character_bytes(p + i, s.n - i);
        if (len > n - i) {
            break; /* the bound cuts this character */
        }
        if (len == 0) {
            billing_text_literal(t, "?");
            len = 1;
        } else if (len == 1 && (p[i] < 0x20 || p[i] == '"' || p[i] == '\\' || p[i] == 0x7f)) {
            add_escaped(t, p[i]);
        } else {
            billing_text_add(t, (weir_str){s.p + i, len});
        }
    }
    billing_text_literal(t, "\"");
}

void billing_copy(char *to, size_t cap, weir_str from)
{
    size_t n = from.n < cap ? from.n : cap - 1;
    if (n) {
        memcpy(to, from.p, n);
    }
    to[n] = '\0';
}

weir_str billing_text_view(const struct billing_text *t)
{
    return (weir_str){t->bytes, t->n};
}
