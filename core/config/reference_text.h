/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Values that stand outside the file: "${env:NAME}" and "${file:/path}", as a whole value.
 *
 * Why: a secret then needs not lie in the configuration. What comes is a string, never a number,
 * and findings do not show it. Ownership: the value is the arena's. Threads: [main]. Errors:
 * WEIR_E_NOTFOUND, WEIR_E_IO, WEIR_E_TOOBIG above 64 KiB, WEIR_E_FORMAT for a NUL or invalid UTF-8,
 * each with a sentence. */
#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"

bool weir_reference_text_is(weir_str text);
/* A file's last line feed is left out. */
int weir_reference_text_read(weir_str text, struct weir_arena *arena, weir_str *ret_value,
                             struct weir_error *err);
