/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Growable byte buffer with a maximum and a sticky failure.
 *
 * Why: replies and prompts are built piece by piece; checking once at the end keeps builders
 * readable. After a failed append `failed` stays set, later appends do nothing.
 * Ownership: the buffer owns its bytes; take() hands them to the caller (free()).
 * Threads: none. Errors: sticky `failed`. Invariant: len <= max_bytes; data[len] is NUL when data.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>

#include "weir/types.h"

struct weir_buf {
    char *data;
    size_t len;
    size_t cap;
    size_t max_bytes;
    bool failed; /* an append did not fit or memory ran out */
};

static inline void weir_buf_init(struct weir_buf *b, size_t max_bytes)
{
    *b = (struct weir_buf){.max_bytes = max_bytes};
}
void weir_buf_free(struct weir_buf *b);
/* Most buffers of a request were never used. */
static inline void weir_buf_finish(struct weir_buf *b)
{
    if (b->data) {
        weir_buf_free(b);
    }
}
/* Over memory of the caller's, which does not grow; needs no finish. n_bytes: with a NUL's place.
 */
static inline void weir_buf_init_fixed(struct weir_buf *b, char *memory, size_t n_bytes)
{
    *b = (struct weir_buf){.data = memory, .cap = n_bytes, .max_bytes = n_bytes - 1};
}
/* Empties it for its next use: keeps the memory if that is at most max_kept bytes. */
void weir_buf_recycle(struct weir_buf *b, size_t max_kept);
/* Empties and clears `failed`; keeps the memory. */
void weir_buf_reset(struct weir_buf *b);

/* weir_buf_add() where there may be no room. */
void weir_buf_add_growing(struct weir_buf *b, const void *bytes, size_t n_bytes);
/* Inline, as are those that stand on it: texts are made of many short literals, whose length the
 * compiler then knows. */
static inline void weir_buf_add(struct weir_buf *b, const void *bytes, size_t n_bytes)
{
    assert(bytes || n_bytes == 0);
    if (n_bytes >= b->cap - b->len || b->failed) { /* else there is room, also for the NUL */
        weir_buf_add_growing(b, bytes, n_bytes);
    } else if (n_bytes) {
        memcpy(b->data + b->len, bytes, n_bytes);
        b->len += n_bytes;
        b->data[b->len] = '\0';
    }
}
static inline void weir_buf_add_str(struct weir_buf *b, weir_str s)
{
    weir_buf_add(b, s.p, s.n);
}
static inline void weir_buf_add_text(struct weir_buf *b, const char *text)
{
    weir_buf_add(b, text, strlen(text));
}
static inline void weir_buf_add_char(struct weir_buf *b, char c)
{
    weir_buf_add(b, &c, 1);
}
void weir_buf_printf(struct weir_buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void weir_buf_vprintf(struct weir_buf *b, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));
/* Decimal without the cost of printf. */
void weir_buf_add_u64(struct weir_buf *b, uint64_t v);
/* `"..."` with JSON escapes. Invalid UTF-8 is replaced by U+FFFD so that the result is valid. */
void weir_buf_add_json_str(struct weir_buf *b, weir_str s);
/* Makes room for n_bytes and returns where to write; call weir_buf_commit() after. NULL: failed. */
char *weir_buf_reserve(struct weir_buf *b, size_t n_bytes);
void weir_buf_commit(struct weir_buf *b, size_t n_bytes);
/* Drops the first n_bytes. */
void weir_buf_consume(struct weir_buf *b, size_t n_bytes);
static inline weir_str weir_buf_view(const struct weir_buf *b)
{
    return (weir_str){b->data, b->len};
}
/* Gives the NUL-ended bytes to the caller (free()) and empties the buffer. NULL when failed. */
char *weir_buf_take(struct weir_buf *b, size_t *ret_len);
