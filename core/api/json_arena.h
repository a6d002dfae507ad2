/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* yyjson's memory out of a request's arena.
 *
 * Why: a request's JSON is read and written once and dies with the request; the arena has the
 * memory at hand, and nothing is freed piece by piece. Ownership: what yyjson makes with it is the
 * arena's; freeing it does nothing. Bounds: a piece that grows may leave its old places unused, so
 * that larger ones than WEIR_JSON_PIECE_BYTES are refused as if memory had run out. Threads: the
 * arena's. */
#include <yyjson.h>

#include "base/arena.h"

enum { WEIR_JSON_PIECE_BYTES = 64 * 1024 };

yyjson_alc weir_json_arena(struct weir_arena *arena);
/* A value's text of any length, in the arena. WEIR_E_NOMEM. */
int weir_json_write(yyjson_val *value, struct weir_arena *arena, weir_str *ret_text);
