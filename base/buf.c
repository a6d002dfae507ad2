/* SPDX-License-Identifier: Apache-2.0 */
#include "buf.h"

#include <stdio.h>
#include <stdlib.h>

#include "utf8.h"

void weir_buf_init(struct weir_buf *b, size_t max_bytes)
{
    *b = (struct weir_buf){.max_bytes = max_bytes};
}

void weir_buf_finish(struct weir_buf *b)
{
    free(b->data);
    b->data = NULL;
    b->len = b->cap = 0;
}

void weir_buf_reset(struct weir_buf *b)
{
    b->len = 0;
    b->failed = false;
    if (b->data) {
        b->data[0] = '\0';
    }
}

char *weir_buf_reserve(struct weir_buf *b, size_t n_bytes)
{
    if (b->failed || n_bytes > b->max_bytes - b->len) {
        b->failed = true;
        return NULL;
    }
    size_t need = b->len + n_bytes + 1;
    if (need > b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 256;
        while (cap < need) {
            cap *= 2;
        }
        if (cap > b->max_bytes + 1) {
            cap = b->max_bytes + 1;
        }
        char *grown = realloc(b->data, cap);
        if (!grown) {
            b->failed = true;
            return NULL;
        }
        b->data = grown;
        b->cap = cap;
    }
    return b->data + b->len;
}

void weir_buf_commit(struct weir_buf *b, size_t n_bytes)
{
    b->len += n_bytes;
    b->data[b->len] = '\0';
}

void weir_buf_add(struct weir_buf *b, const void *bytes, size_t n_bytes)
{
    if (n_bytes >= b->cap - b->len || b->failed) { /* else there is room, also for the NUL */
        if (!weir_buf_reserve(b, n_bytes)) {
            return;
        }
    }
    if (n_bytes) {
        memcpy(b->data + b->len, bytes, n_bytes);
    }
    weir_buf_commit(b, n_bytes);
}

void weir_buf_add_str(struct weir_buf *b, weir_str s)
{
    weir_buf_add(b, s.p, s.n);
}

void weir_buf_add_char(struct weir_buf *b, char c)
{
    weir_buf_add(b, &c, 1);
}

void weir_buf_vprintf(struct weir_buf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    size_t room = b->data && !b->failed ? b->cap - b->len : 0; /* most often it is enough */
    int n = vsnprintf(room ? b->data + b->len : NULL, room, fmt, ap);
    bool fits = n >= 0 && (size_t)n < room;
    char *to = n < 0 ? NULL : weir_buf_reserve(b, (size_t)n);
    if (to) {
        if (!fits) {
            (void)vsnprintf(to, (size_t)n + 1, fmt, again);
        }
        weir_buf_commit(b, (size_t)n);
    } else {
        b->failed = true;
    }
    va_end(again);
}

void weir_buf_printf(struct weir_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    weir_buf_vprintf(b, fmt, ap);
    va_end(ap);
}

void weir_buf_add_u64(struct weir_buf *b, uint64_t v)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    weir_buf_add(b, digits + at, sizeof(digits) - at);
}

static void add_escape(struct weir_buf *b, unsigned char c)
{
    switch (c) {
    case '"': weir_buf_add(b, "\\\"", 2); return;
    case '\\': weir_buf_add(b, "\\\\", 2); return;
    case '\n': weir_buf_add(b, "\\n", 2); return;
    case '\r': weir_buf_add(b, "\\r", 2); return;
    case '\t': weir_buf_add(b, "\\t", 2); return;
    default: weir_buf_printf(b, "\\u%04x", c);
    }
}

/* How many bytes from p on stand for themselves: printable ASCII but quote and backslash. Eight at a
 * time: a byte of `odd` has its high bit set where the byte is another (Mycroft 1987: a byte below
 * the first such one is never marked wrongly). */
static size_t plain_len(const char *p, size_t n)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones * 0x80;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t w;
        memcpy(&w, p + i, sizeof(w));
        uint64_t quote = w ^ (ones * '"'), slash = w ^ (ones * '\\');
        uint64_t odd = (w - ones * 0x20) | (quote - ones) | (slash - ones) | w;
        if (odd & highs) {
            break; /* one of them, or a byte that only looks so: the loop below tells */
        }
    }
    for (; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c < 0x20 || c == '"' || c == '\\' || c >= 0x80) {
            break;
        }
    }
    return i;
}

void weir_buf_add_json_str(struct weir_buf *b, weir_str s)
{
    weir_buf_add_char(b, '"');
    size_t start = 0;
    size_t i = 0;
    while (i < s.n) {
        i += plain_len(s.p + i, s.n - i);
        if (i == s.n) {
            break;
        }
        unsigned char c = (unsigned char)s.p[i];
        size_t n = c < 0x80 ? 0 : weir_utf8_valid_len(s.p + i, s.n - i);
        if (n) {
            i += n;
            continue;
        }
        weir_buf_add(b, s.p + start, i - start);
        if (c < 0x80) {
            add_escape(b, c);
        } else {
            weir_buf_add_text(b, "\xEF\xBF\xBD");
        }
        i++;
        start = i;
    }
    if (i > start) { /* an empty text may have no address to count from */
        weir_buf_add(b, s.p + start, i - start);
    }
    weir_buf_add_char(b, '"');
}

void weir_buf_consume(struct weir_buf *b, size_t n_bytes)
{
    if (n_bytes >= b->len) {
        b->len = 0;
    } else {
        memmove(b->data, b->data + n_bytes, b->len - n_bytes);
        b->len -= n_bytes;
    }
    if (b->data) {
        b->data[b->len] = '\0';
    }
}

weir_str weir_buf_view(const struct weir_buf *b)
{
    return (weir_str){b->data, b->len};
}

char *weir_buf_take(struct weir_buf *b, size_t *ret_len)
{
    if (b->failed || !weir_buf_reserve(b, 0)) {
        return NULL;
    }
    char *data = b->data;
    data[b->len] = '\0';
    if (ret_len) {
        *ret_len = b->len;
    }
    b->data = NULL;
    b->len = b->cap = 0;
    return data;
}
