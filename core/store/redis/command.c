/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/redis/command.h"

static void head(struct weir_buf *b, char kind, uint64_t n)
{
    weir_buf_add_char(b, kind);
    weir_buf_add_u64(b, n);
    weir_buf_add(b, "\r\n", 2);
}

void weir_redis_command_begin(struct weir_buf *b, uint32_t n_args)
{
    head(b, '*', n_args);
}

void weir_redis_command_join(struct weir_buf *b, const weir_str *pieces, uint32_t n_pieces)
{
    size_t n = 0;
    for (uint32_t i = 0; i < n_pieces; i++) {
        n += pieces[i].n;
    }
    head(b, '$', n);
    for (uint32_t i = 0; i < n_pieces; i++) {
        weir_buf_add_str(b, pieces[i]);
    }
    weir_buf_add(b, "\r\n", 2);
}

void weir_redis_command_add(struct weir_buf *b, weir_str arg)
{
    weir_redis_command_join(b, &arg, 1);
}

enum { DECIMAL_BYTES = 20 };

/* Decimal, at the end of `text`. */
static weir_str decimal(char text[DECIMAL_BYTES], uint64_t value)
{
    size_t at = DECIMAL_BYTES;
    do {
        text[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    return (weir_str){text + at, DECIMAL_BYTES - at};
}

void weir_redis_command_add_u64(struct weir_buf *b, uint64_t value)
{
    char text[DECIMAL_BYTES];
    weir_redis_command_add(b, decimal(text, value));
}

void weir_redis_command_add_i64(struct weir_buf *b, int64_t value)
{
    char text[DECIMAL_BYTES];
    uint64_t size = value < 0 ? UINT64_C(0) - (uint64_t)value : (uint64_t)value;
    const weir_str pieces[] = {{"-", value < 0}, decimal(text, size)};
    weir_redis_command_join(b, pieces, 2);
}
