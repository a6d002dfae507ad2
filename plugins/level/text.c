/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include <string.h>

void text_add(struct text *t, weir_str s)
{
    size_t room = t->cap - t->n, n = s.n < room ? s.n : room;
    if (n) {
        memcpy(t->p + t->n, s.p, n);
        t->n += n;
    }
}

void text_add_char(struct text *t, char c)
{
    if (t->n < t->cap) {
        t->p[t->n++] = c;
    }
}

void text_add_u64(struct text *t, uint64_t number)
{
    static const char pairs[] =
        "00010203040506070809101112131415161718192021222324252627282930313233"
        "34353637383940414243444546474849505152535455565758596061626364656667"
        "6869707172737475767778798081828384858687888990919293949596979899";
    char digits[20];
    size_t at = sizeof(digits);
    while (number >= 100) {
        at -= 2;
        memcpy(digits + at, pairs + number % 100 * 2, 2);
        number /= 100;
    }
    if (number >= 10) {
        at -= 2;
        memcpy(digits + at, pairs + number * 2, 2);
    } else {
        digits[--at] = (char)('0' + number);
    }
    text_add(t, (weir_str){digits + at, sizeof(digits) - at});
}

void text_add_duration(struct text *t, uint64_t us)
{
    uint64_t ms = us / 1000 + (us % 1000 != 0), s = ms / 1000;
    if (s == 0) {
        text_add_u64(t, ms);
        TEXT_ADD(t, "ms");
        return;
    }
    s += ms % 1000 != 0; /* above a second, seconds are fine enough */
    if (s >= 3600) {
        text_add_u64(t, s / 3600);
        text_add_char(t, 'h');
    }
    if (s >= 60) {
        text_add_u64(t, s / 60 % 60);
        text_add_char(t, 'm');
    }
    text_add_u64(t, s % 60);
    text_add_char(t, 's');
}

void text_add_seconds(struct text *t, uint64_t us)
{
    text_add_u64(t, us / 1000000 + (us % 1000000 != 0));
}

void text_add_json(struct text *t, weir_str s)
{
    static const char hex[] = "0123456789abcdef";
    text_add_char(t, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\') {
            text_add_char(t, '\\');
            text_add_char(t, (char)c);
        } else if (c < 0x20) {
            TEXT_ADD(t, "\\u00");
            text_add_char(t, hex[c >> 4]);
            text_add_char(t, hex[c & 15]);
        } else {
            text_add_char(t, (char)c);
        }
    }
    text_add_char(t, '"');
}

void text_add_store_loss(struct text *t, int rc)
{
    text_add(t, weir_str_from(rc == WEIR_E_TIMEOUT ? "the store does not answer in time; "
                              : rc == WEIR_E_NOMEM ? "the store is full; "
                                                   : "the store is not there; "));
}
