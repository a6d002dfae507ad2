/* SPDX-License-Identifier: Apache-2.0 */
#include "json_schema_internal.h"

#include "engine/grammar/json_rules.h"

int weir_json_schema_string(struct weir_json_schema_compiler *c, uint32_t node)
{
    yyjson_val *pattern = weir_json_schema_at(c, node, "pattern");
    yyjson_val *format = weir_json_schema_at(c, node, "format");
    if (pattern || format) {
        return weir_json_schema_refuse(c, node, "keyword '%s' is not supported",
                                       pattern ? "pattern" : "format");
    }
    uint32_t min = 0, max = UINT32_MAX;
    int r = weir_json_schema_count(c, node, "minLength", &min);
    if (r == 0) {
        r = weir_json_schema_count(c, node, "maxLength", &max);
    }
    if (r < 0 || min > max) {
        return r; /* min over max: no way out */
    }
    uint32_t close = WEIR_STATE_POP;
    uint32_t rule =
        min == 0 && max == UINT32_MAX
            ? weir_json_string(c->a)
            : weir_json_byte(c->a, '"', weir_json_bounded_inside(c->a, min, max, close));
    weir_automaton_empty(c->a, c->nodes[node].rule, rule);
    return 0;
}
