/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A block of limits or quotas as written: its levels, and the names that have rules of their own.
 *
 * The plugin's configuration: {global, tenant, user, key, model: {...}, models: {NAME: {...}}}. A
 * tenant's record: its own rules at the top, {user, key, model: {...}} for each of its users, keys
 * and models, {users, keys, models: {NAME: {...}}} for some by name. A key's record: its own.
 * What the more special rule says replaces the same entry of the more general one; others stay.
 * Ownership: a block owns its document. Threads: any, once read. */
#include <yyjson.h>

#include "level.h"

struct rules {
    yyjson_doc *doc;
};

/* Member `member` of a JSON object; an empty block when there is none or the text is no object. */
int rules_read(weir_str json, const char *member, struct rules *ret_rules);
void rules_finish(struct rules *rules);

/* "50ms", "15s", "2m", "1h" as milliseconds; `otherwise` when it is nothing like that. */
uint64_t rules_duration_ms(yyjson_val *v, uint64_t otherwise);

/* ["global", "tenant", "user", "key", "model"] as bits of enum level; a model stands for both of
 * its levels. */
unsigned rules_levels(yyjson_val *list);

/* Levels for which a block may have rules, whatever the subject's name: the plugin's configuration,
 * a tenant's record. Where none of both has any, rules_find() finds none but a key's own. */
unsigned rules_general_levels(const struct rules *config);
unsigned rules_own_levels(const struct rules *tenant);

/* The blocks that may speak for a subject: the plugin's, the tenant's, the key's own; NULL: none.
 */
struct rules_stack {
    const struct rules *config, *tenant, *key;
};
/* The objects that do, general before special; at most RULES_MAX. */
enum { RULES_MAX = 4 };
unsigned rules_find(const struct rules_stack *stack, enum level level, weir_str name,
                    yyjson_val *ret_found[RULES_MAX]);
