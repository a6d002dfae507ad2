/* SPDX-License-Identifier: Apache-2.0 */
#include "json_schema_internal.h"

#include <math.h>
#include <stdlib.h>

#include "engine/grammar/literals.h"

static bool has_type(yyjson_val *value, weir_str type)
{
    if (weir_str_is(type, "integer")) {
        double n = yyjson_get_num(value);
        return yyjson_is_int(value) || (yyjson_is_real(value) && n == trunc(n));
    }
    const char *is = yyjson_is_null(value)   ? "null"
                     : yyjson_is_bool(value) ? "boolean"
                     : yyjson_is_num(value)  ? "number"
                     : yyjson_is_str(value)  ? "string"
                     : yyjson_is_arr(value)  ? "array"
                                             : "object";
    return weir_str_is(type, is);
}

bool weir_json_schema_has_type(yyjson_val *value, yyjson_val *type)
{
    if (!yyjson_is_arr(type)) {
        return !type || has_type(value, weir_json_schema_text(type));
    }
    size_t i, n;
    yyjson_val *one;
    yyjson_arr_foreach(type, i, n, one)
    {
        if (has_type(value, weir_json_schema_text(one))) {
            return true;
        }
    }
    return false;
}

/* Texts of the values that fit `type`; literals[i].text.p is to be freed. */
static int write_values(struct weir_json_schema_compiler *c, yyjson_val *list, yyjson_val *type,
                        struct weir_literal *literals, uint32_t *ret_n)
{
    size_t i, n;
    yyjson_val *value;
    yyjson_arr_foreach(list, i, n, value)
    {
        if (!weir_json_schema_has_type(value, type)) {
            continue;
        }
        size_t len = 0;
        char *text = yyjson_val_write(value, 0, &len);
        if (!text) {
            return weir_json_schema_no_memory(c);
        }
        literals[(*ret_n)++] = (struct weir_literal){{text, len}, WEIR_STATE_POP};
    }
    return 0;
}

static int lay_list(struct weir_json_schema_compiler *c, uint32_t node, yyjson_val *list)
{
    struct weir_literal *literals = malloc((yyjson_arr_size(list) + 1) * sizeof(*literals));
    if (!literals) {
        return weir_json_schema_no_memory(c);
    }
    uint32_t n = 0;
    int r = write_values(c, list, weir_json_schema_at(c, node, "type"), literals, &n);
    if (r == 0 && weir_literals_add(c->a, c->nodes[node].rule, literals, n) < 0) {
        r = weir_json_schema_no_memory(c);
    }
    for (uint32_t i = 0; i < n; i++) {
        free((char *)literals[i].text.p);
    }
    free(literals);
    return r;
}

static int lay_one(struct weir_json_schema_compiler *c, uint32_t node, yyjson_val *value)
{
    if (!weir_json_schema_has_type(value, weir_json_schema_at(c, node, "type"))) {
        return 0;
    }
    size_t len = 0;
    char *text = yyjson_val_write(value, 0, &len);
    if (!text) {
        return weir_json_schema_no_memory(c);
    }
    weir_automaton_text(c->a, c->nodes[node].rule, (weir_str){text, len}, WEIR_STATE_POP);
    free(text);
    return 0;
}

int weir_json_schema_literals(struct weir_json_schema_compiler *c, uint32_t node)
{
    static const char *const with_const[] = {"const", "type", NULL};
    static const char *const with_enum[] = {"enum", "type", NULL};
    yyjson_val *value = weir_json_schema_at(c, node, "const"),
               *list = weir_json_schema_at(c, node, "enum");
    int r = weir_json_schema_only(c, node, c->nodes[node].schema, value ? with_const : with_enum);
    if (r < 0) {
        return r;
    }
    if (value) {
        return lay_one(c, node, value);
    }
    if (!yyjson_is_arr(list)) {
        return weir_json_schema_refuse(c, node, "enum must be a list of values");
    }
    return lay_list(c, node, list);
}
