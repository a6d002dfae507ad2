/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A document node as JSON, so that plugins and engines need not know YAML.
 * Ownership: strings are copied into the JSON document. Threads: any.
 * Errors: NULL: out of memory. */
#include <yyjson.h>

#include "core/config/doc.h"

/* A value owned by `json` that equals the node. */
yyjson_mut_val *weir_doc_to_json(const struct weir_doc_node *node, yyjson_mut_doc *json);
