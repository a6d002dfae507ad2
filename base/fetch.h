/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Asks the processor for memory that will be read soon.
 *
 * Why: of hundreds of streams that take turns, none finds its memory in the cache. Its lines come
 * one behind the other where each is found through the one before; asked for in good time, they
 * come together, behind work that does not need them. Any address will do: nothing is read. */
#include <stddef.h>

enum { WEIR_FETCH_LINE_BYTES = 64 };

static inline void weir_fetch(const void *from, size_t n_bytes)
{
    for (size_t at = 0; at < n_bytes; at += WEIR_FETCH_LINE_BYTES) {
        __builtin_prefetch((const char *)from + at);
    }
}
