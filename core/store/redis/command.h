/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Writes commands as the protocol wants them: an array of counted strings.
 *
 * The number of arguments comes first, so the caller knows it beforehand. Errors: the buffer's. */
#include "base/buf.h"

void weir_redis_command_begin(struct weir_buf *b, uint32_t n_args);
void weir_redis_command_add(struct weir_buf *b, weir_str arg);
/* One argument out of several pieces. */
void weir_redis_command_join(struct weir_buf *b, const weir_str *pieces, uint32_t n_pieces);
void weir_redis_command_add_u64(struct weir_buf *b, uint64_t value);
void weir_redis_command_add_i64(struct weir_buf *b, int64_t value);
static inline void weir_redis_command_text(struct weir_buf *b, const char *text)
{
    weir_redis_command_add(b, weir_str_from(text));
}
