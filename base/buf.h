/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Growable byte buffer with a maximum and a sticky failure.
 *
 * Why: replies and prompts are built piece by piece; checking once at the end keeps builders
 * readable. After a failed append `failed` stays set, later appends do nothing.
 * Ownership: the buffer owns its bytes; take() hands them to the caller (free()).
 * Threads: none. Errors: sticky `failed`. Invariant: len <= max_bytes; data[len] is NUL when data. */
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

void weir_buf_init(struct weir_buf *b, size_t max_bytes);
void weir_buf_finish(struct weir_buf *b);
/* Empties and clears `failed`; keeps the memory. */
void weir_buf_reset(struct weir_buf *b);

void weir_buf_add(struct weir_buf *b, const void *bytes, size_t n_bytes);
void weir_buf_add_str(struct weir_buf *b, weir_str s);
/* Inline, so that a literal's length is known to the compiler. */
static inline void weir_buf_add_text(struct weir_buf *b, const char *text)
{
    weir_buf_add(b, text, strlen(text));
}
void weir_buf_add_char(struct weir_buf *b, char c);
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
weir_str weir_buf_view(const struct weir_buf *b);
/* Gives the NUL-ended bytes to the caller (free()) and empties the buffer. NULL when failed. */
char *weir_buf_take(struct weir_buf *b, size_t *ret_len);
