/* SPDX-License-Identifier: Apache-2.0 */
#include "json_schema_internal.h"

#include "engine/grammar/json_rules.h"

int weir_json_schema_number(struct weir_json_schema_compiler *c, uint32_t node, bool whole)
{
    static const char *const bounds[] = {"minimum", "maximum", "exclusiveMinimum",
                                         "exclusiveMaximum"};
    for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
        if (weir_json_schema_at(c, node, bounds[i])) {
            return weir_json_schema_refuse(c, node, "keyword '%s' is not supported", bounds[i]);
        }
    }
    uint32_t rule = whole ? weir_json_integer(c->a) : weir_json_number(c->a);
    weir_automaton_empty(c->a, c->nodes[node].rule, rule);
    return 0;
}
