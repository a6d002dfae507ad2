/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* `tools` and `tool_choice` of a chat request: shape checks.
 * Threads: any; pure. Errors: WEIR_E_ARG with *refusal, which names the place. */
#include <stdbool.h>
#include <yyjson.h>

#include "weir/backend_stream.h"

enum { WEIR_MAX_TOOLS = 128 };

int weir_tools_check(yyjson_val *tools, weir_refusal *refusal);
/* *ret_choice: enum weir_tool_choice; *ret_name borrows from the document when one is named. */
int weir_tool_choice_read(yyjson_val *v, uint32_t *ret_choice, weir_str *ret_name,
                          weir_refusal *refusal);
/* Is there a tool of that name? `tools_json` is an array that passed weir_tools_check(). */
bool weir_tools_name_one(weir_str tools_json, weir_str name);
