/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* `response_format` of a chat request.
 * Threads: any; pure. Errors: WEIR_E_ARG with *refusal, which names the place. */
#include <yyjson.h>

#include "weir/backend_stream.h"

/* *ret_format: enum weir_format; *ret_schema: the schema of WEIR_FORMAT_JSON_SCHEMA, else
 * untouched. */
int weir_response_format_read(yyjson_val *v, uint32_t *ret_format, yyjson_val **ret_schema,
                              weir_refusal *refusal);
