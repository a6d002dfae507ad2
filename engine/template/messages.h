/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A request's messages in the shape that templates expect.
 *
 * Why: OpenAI's API has arguments of tool calls as JSON texts and content as arrays of parts;
 * templates want the arguments' objects, and most want content as one string.
 * Ownership: the result is a new document; free it with yyjson_doc_free(). Threads: any. */
#include <yyjson.h>

#include "base/error.h"
#include "engine/template/template.h"

/* Copies messages (an array). Text parts become one string, a newline between, unless `parts`: the
 * template shows them itself. tool_calls[].function.arguments becomes the object that its text
 * holds; a text that is no JSON stays.
 * WEIR_E_ARG with the path ("messages[2].content[0]: ...") for a part that is not text, a message
 * that is no object; WEIR_E_NOMEM. */
int weir_template_messages(yyjson_val *messages, bool parts, yyjson_doc **ret_doc,
                           struct weir_error *err);
