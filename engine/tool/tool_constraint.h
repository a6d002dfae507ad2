/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What an answer must look like when tool_choice asks for a call: literal text around one JSON
 * value and that value's JSON Schema.
 *
 * Why: a grammar then enforces what the model's own format would be, so that the parser reads it.
 * Ownership: the buffers belong to the caller. Threads: any.
 * Errors: WEIR_E_ARG for a named tool that is not in the list or a tool without name;
 * WEIR_E_TOOBIG for parameters nested deeper than 100 levels; WEIR_E_NOMEM. */
#include <yyjson.h>

#include "base/buf.h"
#include "base/error.h"
#include "engine/tool/tool_format.h"

struct weir_tool_constraint {
    struct weir_buf prefix; /* literal text in front of the value */
    struct weir_buf schema; /* JSON Schema of the value; properties in the order to be written */
    struct weir_buf suffix; /* literal text behind it */
};

void weir_tool_constraint_init(struct weir_tool_constraint *c, size_t max_schema_bytes);
void weir_tool_constraint_finish(struct weir_tool_constraint *c);

/* tools: the request's array. name: the one tool to call ({NULL, 0}: any). parallel: may there be
 * several calls where the format has an array? References inside a tool's parameters ("$ref":
 * "#/...") are rewritten to where the parameters stand in the schema. */
int weir_tool_constraint_build(const struct weir_tool_format *format, yyjson_val *tools,
                               weir_str name, bool parallel, struct weir_tool_constraint *ret,
                               struct weir_error *err);
