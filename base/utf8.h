/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* UTF-8 by the Unicode standard's table 3-7 (no overlongs, no surrogates, up to U+10FFFF).
 * Threads: any; pure functions. */
#include <stdbool.h>

#include "weir/types.h"

/* Length 1..4 of the well-formed character at p, or 0 when it is malformed or cut off. */
size_t weir_utf8_valid_len(const char *p, size_t n_bytes);
/* How many bytes at the end of s begin a character that is not complete yet (0..3). */
size_t weir_utf8_partial_tail(weir_str s);
bool weir_utf8_is_valid(weir_str s);
/* Decodes one character; returns its length, or 0 when malformed. */
size_t weir_utf8_decode(const char *p, size_t n_bytes, uint32_t *ret_cp);
/* Writes 1..4 bytes to out[4]; returns how many. cp must be a scalar value. */
size_t weir_utf8_encode(uint32_t cp, char *out);
