/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* JSON Schema for configuration: checks a document node, fills in defaults, gives JSON.
 *
 * Why: the host checks its own file and every plugin's part with one judge, and every complaint
 * carries file, line, column and key path.
 * A subset of draft 2020-12: type, enum, const, properties, required, additionalProperties,
 * patternProperties, propertyNames, minProperties, maxProperties, items, prefixItems, minItems,
 * maxItems, uniqueItems, minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf,
 * minLength, maxLength (in code points), pattern, format, allOf, anyOf, oneOf, not, default, $ref
 * to "#" or "#/$defs/NAME", writeOnly, and the notes $schema, $id, $comment, $defs, title,
 * description, examples, deprecated. Every other keyword is an error at load: a check that is
 * silently skipped is worse than none.
 * - pattern: POSIX extended expressions on bytes, plus \d \w \s \D \W \S and (?:...); no
 *   look-around, no back-references.
 * - format: "duration" (50ms 30s 15m 4h 7d), "bytes" (64KiB 1Gi 10MB), "uri", "host-port";
 *   they hold for strings only.
 * - writeOnly: true marks a secret; findings do not show its value.
 * - default: must satisfy its own schema; an absent property is filled in, nested ones too.
 * Ownership: schema and result are the caller's. Threads: any, once loaded.
 * Errors: findings for what a person must mend; WEIR_E_FORMAT, WEIR_E_NOMEM.
 * Invariant: checking ends: $ref cycles that consume no input are refused at load, and a check
 * takes a bounded number of steps. */
#include <yyjson.h>

#include "core/config/doc.h"

struct weir_schema;

/* Compiles JSON text. `findings` gets the mistakes of the schema itself; its file names the schema
 * ("plugin ratelimit: config schema"). */
int weir_schema_load(weir_str text, struct weir_findings *findings,
                     struct weir_schema **ret_schema);
void weir_schema_destroy(struct weir_schema *schema); /* NULL ok */

/* Checks `node` and adds all violations to `findings`. On 0, *ret_json (if not NULL) is the
 * node as JSON with defaults filled in: yyjson_doc_free(). */
int weir_schema_check(const struct weir_schema *schema, const struct weir_doc_node *node,
                      struct weir_findings *findings, yyjson_doc **ret_json);
