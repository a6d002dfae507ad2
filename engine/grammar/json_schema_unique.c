/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays whose items differ, of a few values that the schema lists: a state for each set of values
 * that are there already. */
#include <stdlib.h>

#include "engine/grammar/json_rules.h"
#include "engine/grammar/literals.h"
#include "json_schema_internal.h"

enum { MAX_VALUES = 8, MAX_REFS = 16, N_SETS = 1 << MAX_VALUES };

struct choice {
    weir_str texts[MAX_VALUES]; /* heap */
    yyjson_val *values[MAX_VALUES];
    uint32_t n;
};

/* The states before the next item and behind the last one, by the set of those that are there. */
struct sets {
    uint32_t before[N_SETS], after[N_SETS];
};

/* JSON's 1 and 1.0 are one value. */
static bool is_same(yyjson_val *a, yyjson_val *b)
{
    return yyjson_is_num(a) && yyjson_is_num(b) ? yyjson_get_num(a) == yyjson_get_num(b)
                                                : yyjson_equals(a, b);
}

static int refuse(struct weir_json_schema_compiler *c, uint32_t node)
{
    return weir_json_schema_refuse(c, node,
                                   "uniqueItems is only supported where items is an enum of at "
                                   "most %d strings, numbers, booleans or null",
                                   MAX_VALUES);
}

static int add_value(struct weir_json_schema_compiler *c, uint32_t node, yyjson_val *value,
                     struct choice *out)
{
    for (uint32_t i = 0; i < out->n; i++) {
        if (is_same(out->values[i], value)) {
            return 0;
        }
    }
    if (out->n == MAX_VALUES || yyjson_is_ctn(value)) {
        return refuse(c, node);
    }
    size_t len = 0;
    char *text = yyjson_val_write(value, 0, &len);
    if (!text) {
        return weir_json_schema_no_memory(c);
    }
    out->values[out->n] = value;
    out->texts[out->n++] = (weir_str){text, len};
    return 0;
}

static int read_choice(struct weir_json_schema_compiler *c, uint32_t node, struct choice *out)
{
    static const char *const with_enum[] = {"enum", "type", NULL};
    yyjson_val *items = weir_json_schema_at(c, node, "items");
    int r = 0;
    for (int n = 0; r == 0 && yyjson_obj_get(items, "$ref") && n < MAX_REFS; n++) {
        r = weir_json_schema_resolve(c, node, yyjson_obj_get(items, "$ref"), &items);
    }
    yyjson_val *list = yyjson_obj_get(items, "enum"), *value;
    if (r < 0 || !yyjson_is_arr(list)) {
        return r < 0 ? r : refuse(c, node);
    }
    r = weir_json_schema_only(c, node, items, with_enum);
    size_t i, n;
    yyjson_arr_foreach(list, i, n, value)
    {
        if (r == 0 && weir_json_schema_has_type(value, yyjson_obj_get(items, "type"))) {
            r = add_value(c, node, value, out);
        }
    }
    return r;
}

/* One item more than `set` has. */
static int lay_next(struct weir_automaton *a, const struct choice *choice, const struct sets *sets,
                    uint32_t set)
{
    struct weir_literal literals[MAX_VALUES];
    uint32_t n = 0;
    for (uint32_t i = 0; i < choice->n; i++) {
        if (!(set & 1u << i)) {
            literals[n++] = (struct weir_literal){choice->texts[i], sets->after[set | 1u << i]};
        }
    }
    return weir_literals_add(a, sets->before[set], literals, n);
}

static int lay_sets(struct weir_automaton *a, const struct choice *choice, uint32_t min,
                    uint32_t max, uint32_t open)
{
    struct sets sets;
    uint32_t end = weir_json_byte(a, ']', WEIR_STATE_POP);
    for (uint32_t set = 0; set < 1u << choice->n; set++) {
        sets.before[set] = weir_automaton_state(a);
        sets.after[set] = set == 0 ? open : weir_automaton_state(a);
    }
    int r = 0;
    for (uint32_t set = 0; r == 0 && set < 1u << choice->n; set++) {
        uint32_t n = (uint32_t)__builtin_popcount(set);
        if (n >= min && n <= max) {
            weir_json_spaced(a, sets.after[set], end);
        }
        if (n < max && n < choice->n) {
            uint32_t next = set == 0 ? open : weir_automaton_state(a);
            if (set != 0) {
                weir_automaton_range(a, sets.after[set], ',', ',', next);
            }
            weir_json_spaced(a, next, sets.before[set]);
            r = lay_next(a, choice, &sets, set);
        }
    }
    return r;
}

int weir_json_schema_unique(struct weir_json_schema_compiler *c, uint32_t node, uint32_t min,
                            uint32_t max)
{
    struct choice choice = {.n = 0};
    int r = weir_json_schema_at(c, node, "prefixItems") ? refuse(c, node)
                                                        : read_choice(c, node, &choice);
    if (r == 0) {
        uint32_t open = weir_automaton_state(c->a);
        weir_automaton_range(c->a, c->nodes[node].rule, '[', '[', open);
        r = lay_sets(c->a, &choice, min, max, open) < 0 ? weir_json_schema_no_memory(c) : 0;
    }
    for (uint32_t i = 0; i < choice.n; i++) {
        free((char *)choice.texts[i].p);
    }
    return r;
}
