/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The general categories of Unicode that pre-tokenisers tell apart.
 * Threads: any; pure function. */
#include <stdint.h>

enum {
    WEIR_UNICODE_LETTER = 1,      /* \p{L} */
    WEIR_UNICODE_NUMBER = 2,      /* \p{N} */
    WEIR_UNICODE_MARK = 4,        /* \p{M} */
    WEIR_UNICODE_PUNCTUATION = 8, /* \p{P} */
    WEIR_UNICODE_SYMBOL = 16,     /* \p{S} */
    WEIR_UNICODE_SPACE = 32,      /* \s: White_Space */
};

/* The bits above for a code point; 0 for controls, separators that are no space, unassigned. */
uint8_t weir_unicode_class(uint32_t cp);
