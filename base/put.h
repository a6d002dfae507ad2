/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Texts written one behind the other into memory that is known to hold them.
 *
 * Why: where the longest text is known beforehand, room is made once, and what follows need not ask
 * for it piece by piece as with a weir_buf.
 * Use: each returns the place behind what it wrote; no NUL. Threads: none. */
#include <stdint.h>
#include <string.h>

#include "weir/types.h"

enum { WEIR_PUT_U64_BYTES = 20 }; /* at most */

static inline char *weir_put(char *to, const void *bytes, size_t n_bytes)
{
    memcpy(to, bytes, n_bytes);
    return to + n_bytes;
}

static inline char *weir_put_str(char *to, weir_str s)
{
    return s.n ? weir_put(to, s.p, s.n) : to;
}

/* Inline, so that the compiler knows a literal's length. */
static inline char *weir_put_text(char *to, const char *text)
{
    return weir_put(to, text, strlen(text));
}

/* Decimal. */
char *weir_put_u64(char *to, uint64_t v);
