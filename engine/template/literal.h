/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Python's string escapes and number spellings. Threads: any; pure functions. */
#include <stdbool.h>

#include "base/arena.h"
#include "engine/template/lexer.h"
#include "weir/types.h"

/* Decodes what stands between the quotes. Unknown escapes stay as they are. WEIR_E_NOMEM, or
 * WEIR_E_FORMAT for a cut or surrogate \x, \u or \U. */
int weir_tpl_literal_string(struct weir_arena *a, weir_str raw, weir_str *ret_text);

/* Reads the number at the start of s and fills kind and value of *ret_token. Returns its length, 0
 * when it is malformed or does not fit. floats: may a point or an exponent follow? */
size_t weir_tpl_literal_number(weir_str s, bool floats, struct weir_tpl_token *ret_token);
