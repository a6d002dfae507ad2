/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Python's string operations on UTF-8.
 *
 * Why: jinja2 counts, slices and strips by code points and knows Unicode's white space.
 * Ownership: results are views into the argument, or new strings in the arena ({NULL, 0} when it is
 * used up). Threads: any; pure functions.
 * Invariant: arguments are valid UTF-8; so are results.
 * Limit: case mapping covers Latin, Greek and Cyrillic letters with a one-to-one mapping. */
#include <stdbool.h>

#include "base/arena.h"
#include "weir/types.h"

/* Decodes the code point at s.p[at] and stores the offset behind it. at < s.n. */
uint32_t weir_tpl_text_next(weir_str s, size_t at, size_t *ret_next);
/* Code points in s. */
size_t weir_tpl_text_len(weir_str s);
/* Byte offset of the code point with that index; s.n when index is past the end. */
size_t weir_tpl_text_offset(weir_str s, size_t index);

bool weir_tpl_text_is_space(uint32_t cp);
bool weir_tpl_text_is_printable(uint32_t cp); /* Python's str.isprintable(), main ranges */

enum weir_tpl_side { WEIR_TPL_LEFT = 1, WEIR_TPL_RIGHT = 2, WEIR_TPL_BOTH = 3 };
/* Strips white space, or the code points of `set` when set.p is not NULL. */
weir_str weir_tpl_text_strip(weir_str s, weir_str set, enum weir_tpl_side side);

bool weir_tpl_text_starts(weir_str s, weir_str prefix);
bool weir_tpl_text_ends(weir_str s, weir_str suffix);
/* Byte offset of the first `needle` at or behind `from`, or SIZE_MAX. */
size_t weir_tpl_text_find(weir_str s, weir_str needle, size_t from);
/* Byte offset of the last `needle` that ends at or before `end`, or SIZE_MAX. */
size_t weir_tpl_text_rfind(weir_str s, weir_str needle, size_t end);

enum weir_tpl_case {
    WEIR_TPL_UPPER,
    WEIR_TPL_LOWER,
    WEIR_TPL_CAPITALIZE,
    WEIR_TPL_TITLE, /* str.title(): a capital after everything that is no letter */
    WEIR_TPL_WORDS, /* the filter `title`: a capital after white space and -({[< */
};
weir_str weir_tpl_text_case(struct weir_arena *a, weir_str s, enum weir_tpl_case how);
