/* SPDX-License-Identifier: Apache-2.0 */
#include "buf.h"

#include <stdio.h>
#include <stdlib.h>

#include "plain_text.h"
#include "put.h"
#include "utf8.h"

void weir_buf_free(struct weir_buf *b)
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

void weir_buf_recycle(struct weir_buf *b, size_t max_kept)
{
    if (b->cap > max_kept) {
        weir_buf_finish(b);
    }
    weir_buf_reset(b);
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

void weir_buf_add_growing(struct weir_buf *b, const void *bytes, size_t n_bytes)
{
    if (weir_buf_reserve(b, n_bytes)) {
        if (n_bytes) {
            memcpy(b->data + b->len, bytes, n_bytes);
        }
        weir_buf_commit(b, n_bytes);
    }
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
    char digits[WEIR_PUT_U64_BYTES];
    char *to = b->cap - b->len > sizeof(digits) && !b->failed ? b->data + b->len : digits;
    char *end = weir_put_u64(to, v); /* in place, mostly: a copy would wait for its bytes */
    if (to == digits) {
        weir_buf_add(b, digits, (size_t)(end - digits));
    } else {
        weir_buf_commit(b, (size_t)(end - to));
    }
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

void weir_buf_add_json_str(struct weir_buf *b, weir_str s)
{
    weir_buf_add_char(b, '"');
    size_t start = 0;
    size_t i = 0;
    while (i < s.n) {
        i += weir_plain_len(s.p + i, s.n - i);
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
