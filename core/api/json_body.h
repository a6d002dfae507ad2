/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A request body as a strict JSON document.
 *
 * Why: what one parser accepts and the next reads differently is an attack. Bodies must be one JSON
 * object in valid UTF-8 (RFC 8259) without duplicate keys, lone surrogates, or numbers that
 * overflow a double, nested at most WEIR_JSON_MAX_DEPTH deep. Ownership: the caller frees *ret_doc
 * with yyjson_doc_free(). With an arena a short body's document may lie in it, and must not be used
 * when it has been reset. Errors: WEIR_E_FORMAT with line and column in the sentence. Threads: any.
 */
#include <yyjson.h>

#include "base/arena.h"
#include "base/error.h"

enum { WEIR_JSON_MAX_DEPTH = 64 };

/* `arena`: NULL ok. */
int weir_json_body_parse(weir_str body, struct weir_arena *arena, yyjson_doc **ret_doc,
                         struct weir_error *err);
