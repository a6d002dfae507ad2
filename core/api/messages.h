/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The `messages` of a chat request: shape checks, and the JSON that templates read.
 *
 * Role "developer" becomes "system": chat templates know only the older word. Text content parts
 * stay as they are; the template layer flattens them where the template wants strings.
 * Ownership: *ret_json lives in `arena`. Threads: any. Errors: WEIR_E_ARG with *refusal. */
#include <yyjson.h>

#include "base/arena.h"
#include "weir/backend_stream.h"

enum { WEIR_MAX_MESSAGES = 4096 };

int weir_messages_read(yyjson_val *messages, struct weir_arena *arena, weir_str *ret_json,
                       weir_refusal *refusal);
