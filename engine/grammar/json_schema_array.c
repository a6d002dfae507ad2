/* SPDX-License-Identifier: Apache-2.0 */
#include "json_schema_internal.h"

#include "engine/grammar/json_rules.h"

struct items {
    yyjson_val *prefix; /* prefixItems, or NULL */
    yyjson_val *rest;   /* items: NULL for any value */
    uint32_t n_prefix;
    uint32_t min, max; /* max UINT32_MAX: no bound */
};

static int item_rule(struct weir_json_schema_compiler *c, uint32_t node, const struct items *items,
                     uint32_t i, uint32_t *ret_rule)
{
    bool in_prefix = i < items->n_prefix;
    yyjson_val *schema = in_prefix ? yyjson_arr_get(items->prefix, i) : items->rest;
    if (!schema) {
        *ret_rule = weir_json_value(c->a);
        return 0;
    }
    return weir_json_schema_child(c,
                                  (struct weir_json_schema_node){
                                      .schema = schema,
                                      .parent = node,
                                      .keyword = in_prefix ? "prefixItems" : "items",
                                      .index = in_prefix ? i : UINT32_MAX,
                                  },
                                  ret_rule);
}

static int read_items(struct weir_json_schema_compiler *c, uint32_t node, struct items *ret)
{
    *ret = (struct items){
        .prefix = weir_json_schema_at(c, node, "prefixItems"),
        .rest = weir_json_schema_at(c, node, "items"),
        .max = UINT32_MAX,
    };
    if (ret->prefix && !yyjson_is_arr(ret->prefix)) {
        return weir_json_schema_refuse(c, node, "prefixItems must be a list of schemas");
    }
    int r = weir_json_schema_count(c, node, "minItems", &ret->min);
    if (r == 0) {
        r = weir_json_schema_count(c, node, "maxItems", &ret->max);
    }
    ret->n_prefix = (uint32_t)yyjson_arr_size(ret->prefix);
    if (yyjson_is_false(ret->rest) && ret->max > ret->n_prefix) {
        ret->max = ret->n_prefix;
    }
    return r;
}

/* The states before and behind each item; with no upper bound the last two make a loop. */
static int lay_items(struct weir_json_schema_compiler *c, uint32_t node, const struct items *items,
                     uint32_t open)
{
    struct weir_automaton *a = c->a;
    uint32_t end = weir_json_byte(a, ']', WEIR_STATE_POP);
    bool endless = items->max == UINT32_MAX;
    uint32_t most = items->min > items->n_prefix ? items->min : items->n_prefix;
    uint32_t n = endless ? most + 1 : items->max;
    uint32_t before = weir_automaton_state(a);
    if (n > 0) {
        weir_json_spaced(a, open, before);
    }
    if (items->min == 0) {
        weir_json_spaced(a, open, end);
    }
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < n && a->code == 0; i++) {
        uint32_t after = weir_automaton_state(a), rule = WEIR_STATE_POP;
        r = item_rule(c, node, items, i, &rule);
        weir_automaton_call(a, before, rule, after);
        bool last = i + 1 == n;
        if (!last || endless) {
            uint32_t comma = weir_automaton_state(a);
            before = last ? before : weir_automaton_state(a);
            weir_automaton_range(a, after, ',', ',', comma);
            weir_json_spaced(a, comma, before);
        }
        if (i + 1 >= items->min) {
            weir_json_spaced(a, after, end);
        }
    }
    return r;
}

int weir_json_schema_array(struct weir_json_schema_compiler *c, uint32_t node)
{
    struct items items;
    int r = read_items(c, node, &items);
    if (r < 0) {
        return r;
    }
    if (items.min > items.max) {
        return 0; /* no array is that: no way out */
    }
    yyjson_val *unique = weir_json_schema_at(c, node, "uniqueItems");
    if (unique && !yyjson_is_bool(unique)) {
        return weir_json_schema_refuse(c, node, "uniqueItems must be true or false");
    }
    if (yyjson_is_true(unique) && items.max > 1) {
        return weir_json_schema_unique(c, node, items.min, items.max);
    }
    uint32_t open = weir_automaton_state(c->a);
    weir_automaton_range(c->a, c->nodes[node].rule, '[', '[', open);
    return lay_items(c, node, &items, open);
}
