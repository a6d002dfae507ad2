/* SPDX-License-Identifier: Apache-2.0 */
#include "json_schema_internal.h"

#include <stdlib.h>

#include "base/buf.h"
#include "engine/grammar/json_rules.h"
#include "engine/grammar/literals.h"

enum { MAX_PROPERTIES = 4096, MAX_NAMES_BYTES = 1 << 20, MAX_REF_HOPS = 32 };

struct property {
    weir_str name;
    yyjson_val *schema; /* NULL: any value */
    const char *keyword;
    uint32_t index; /* below the keyword, when it is not named by `name` */
    bool required;
    size_t text_at, text_n; /* `"name":` in shape.texts */
    uint32_t colon;         /* state behind that */
};

/* What an object must look like, from one schema or from several. */
struct shape {
    struct property *properties; /* [n] in the order to be written */
    uint32_t n, cap;
    yyjson_val *additional; /* schema of other members; NULL: none */
    uint32_t other_name;    /* rule; WEIR_STATE_NONE without additional ones */
    struct weir_buf texts;
    bool impossible; /* what is required may not be there */
};

static struct property *find_property(const struct shape *s, weir_str name)
{
    for (uint32_t i = 0; i < s->n; i++) {
        if (weir_str_eq(s->properties[i].name, name)) {
            return &s->properties[i];
        }
    }
    return NULL;
}

static int add_property(struct weir_json_schema_compiler *c, uint32_t node, struct shape *s,
                        struct property property)
{
    if (find_property(s, property.name)) {
        return weir_json_schema_refuse(c, node, "property '%.*s' is there twice",
                                       (int)(property.name.n > 64 ? 64 : property.name.n),
                                       property.name.p);
    }
    if (s->n == MAX_PROPERTIES) {
        return weir_error_set(c->err, WEIR_E_TOOBIG, "an object has over %d properties",
                              MAX_PROPERTIES);
    }
    if (s->n == s->cap) {
        uint32_t cap = s->cap ? 2 * s->cap : 16;
        void *p = realloc(s->properties, cap * sizeof(*s->properties));
        if (!p) {
            return weir_json_schema_no_memory(c);
        }
        s->properties = p;
        s->cap = cap;
    }
    s->properties[s->n++] = property;
    return 0;
}

static int add_properties(struct weir_json_schema_compiler *c, uint32_t node, struct shape *s,
                          yyjson_val *schema)
{
    yyjson_val *properties = yyjson_obj_get(schema, "properties");
    if (!properties) {
        return 0;
    }
    if (!yyjson_is_obj(properties)) {
        return weir_json_schema_refuse(c, node, "properties must be an object");
    }
    size_t i, n;
    yyjson_val *key, *value;
    yyjson_obj_foreach(properties, i, n, key, value)
    {
        int r = add_property(c, node, s,
                             (struct property){
                                 .name = weir_json_schema_text(key),
                                 .schema = value,
                                 .keyword = "properties",
                             });
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* Marks what is required; names that `properties` lacks come behind the others. */
static int add_required(struct weir_json_schema_compiler *c, uint32_t node, struct shape *s,
                        yyjson_val *schema)
{
    yyjson_val *required = yyjson_obj_get(schema, "required");
    if (!required) {
        return 0;
    }
    if (!yyjson_is_arr(required)) {
        return weir_json_schema_refuse(c, node, "required must be a list of names");
    }
    yyjson_val *additional = yyjson_obj_get(schema, "additionalProperties");
    size_t i, n;
    yyjson_val *name;
    yyjson_arr_foreach(required, i, n, name)
    {
        if (!yyjson_is_str(name)) {
            return weir_json_schema_refuse(c, node, "required must be a list of names");
        }
        struct property *p = find_property(s, weir_json_schema_text(name));
        if (p) {
            p->required = true;
            continue;
        }
        s->impossible |= yyjson_is_false(additional);
        int r = add_property(c, node, s,
                             (struct property){
                                 .name = weir_json_schema_text(name),
                                 .schema = additional,
                                 .keyword = "additionalProperties",
                                 .required = true,
                             });
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* The texts of names, and a state behind each. */
static int write_names(struct weir_json_schema_compiler *c, struct shape *s)
{
    for (uint32_t i = 0; i < s->n; i++) {
        struct property *p = &s->properties[i];
        p->text_at = s->texts.len;
        weir_buf_add_json_str(&s->texts, p->name);
        weir_buf_add_char(&s->texts, ':');
        p->text_n = s->texts.len - p->text_at;
        p->colon = weir_automaton_state(c->a);
    }
    return s->texts.failed ? weir_error_set(c->err, WEIR_E_TOOBIG,
                                            "the names of an object's properties are too long")
                           : 0;
}

static int make_other_name(struct weir_json_schema_compiler *c, struct shape *s)
{
    if (s->n == 0) {
        s->other_name = weir_json_string(c->a);
        return 0;
    }
    struct weir_literal *names = malloc(s->n * sizeof(*names));
    if (!names) {
        return weir_json_schema_no_memory(c);
    }
    for (uint32_t i = 0; i < s->n; i++) {
        names[i].text = s->properties[i].name;
    }
    int r = weir_literals_other_name(c->a, names, s->n, &s->other_name);
    free(names);
    return r < 0 ? weir_json_schema_no_memory(c) : 0;
}

/* Index of the first required property from i on; n when there is none. */
static uint32_t next_required(const struct shape *s, uint32_t i)
{
    while (i < s->n && !s->properties[i].required) {
        i++;
    }
    return i;
}

/* From state `key`: the names that may come when those before i are settled. */
static int lay_names(struct weir_json_schema_compiler *c, struct shape *s, uint32_t i, uint32_t key,
                     uint32_t other_colon)
{
    uint32_t last = next_required(s, i);
    uint32_t n = last < s->n ? last - i + 1 : s->n - i;
    if (last == s->n && s->other_name != WEIR_STATE_NONE) {
        weir_automaton_call(c->a, key, s->other_name, weir_json_byte(c->a, ':', other_colon));
    }
    if (n == 0) {
        return 0;
    }
    struct weir_literal *literals = malloc(n * sizeof(*literals));
    if (!literals) {
        return weir_json_schema_no_memory(c);
    }
    for (uint32_t k = 0; k < n; k++) {
        const struct property *p = &s->properties[i + k];
        literals[k] = (struct weir_literal){{s->texts.data + p->text_at, p->text_n}, p->colon};
    }
    int r = weir_literals_add(c->a, key, literals, n);
    free(literals);
    return r < 0 ? weir_json_schema_no_memory(c) : 0;
}

static int value_rule(struct weir_json_schema_compiler *c, uint32_t node, const struct property *p,
                      uint32_t *ret_rule)
{
    if (!p->schema) {
        *ret_rule = weir_json_value(c->a);
        return 0;
    }
    bool named = strcmp(p->keyword, "properties") == 0;
    return weir_json_schema_child(c,
                                  (struct weir_json_schema_node){
                                      .schema = p->schema,
                                      .parent = node,
                                      .keyword = p->keyword,
                                      .name = named ? p->name : (weir_str){NULL, 0},
                                      .index = UINT32_MAX,
                                  },
                                  ret_rule);
}

/* colon -> space -> value -> after */
static int lay_value(struct weir_json_schema_compiler *c, uint32_t node, const struct property *p,
                     uint32_t colon, uint32_t after)
{
    uint32_t rule = WEIR_STATE_POP;
    int r = value_rule(c, node, p, &rule);
    uint32_t value = weir_automaton_state(c->a);
    weir_json_spaced(c->a, colon, value);
    weir_automaton_call(c->a, value, rule, after);
    return r;
}

/* A state behind the value at place i: a comma and more, or the end. */
static uint32_t lay_after(struct weir_json_schema_compiler *c, const struct shape *s, uint32_t i,
                          uint32_t key, uint32_t end)
{
    uint32_t after = weir_automaton_state(c->a);
    if (i < s->n || s->other_name != WEIR_STATE_NONE) {
        uint32_t comma = weir_automaton_state(c->a);
        weir_automaton_range(c->a, after, ',', ',', comma);
        weir_json_spaced(c->a, comma, key);
    }
    if (next_required(s, i) == s->n) {
        weir_json_spaced(c->a, after, end);
    }
    return after;
}

static int lay_members(struct weir_json_schema_compiler *c, uint32_t node, struct shape *s)
{
    struct weir_automaton *a = c->a;
    uint32_t end = weir_json_byte(a, '}', WEIR_STATE_POP);
    uint32_t open = weir_automaton_state(a), other_colon = weir_automaton_state(a);
    weir_automaton_range(a, c->nodes[node].rule, '{', '{', open);
    int r = 0;
    for (uint32_t i = 0; r == 0 && i <= s->n && a->code == 0; i++) {
        uint32_t key = weir_automaton_state(a);
        uint32_t after = lay_after(c, s, i, key, end);
        r = lay_names(c, s, i, key, other_colon);
        if (r == 0 && i == 0) {
            weir_json_spaced(a, open, key);
        }
        if (r == 0 && i > 0) {
            r = lay_value(c, node, &s->properties[i - 1], s->properties[i - 1].colon, after);
        }
        if (r == 0 && i == s->n && s->other_name != WEIR_STATE_NONE) {
            struct property other = {.schema = s->additional, .keyword = "additionalProperties"};
            r = lay_value(c, node, &other, other_colon, after);
        }
    }
    if (next_required(s, 0) == s->n) {
        weir_json_spaced(a, open, end);
    }
    return r;
}

static int lay(struct weir_json_schema_compiler *c, uint32_t node, struct shape *s)
{
    if (s->impossible) {
        return 0;
    }
    int r = write_names(c, s);
    if (r == 0 && s->additional) {
        r = make_other_name(c, s);
    }
    return r < 0 ? r : lay_members(c, node, s);
}

static void shape_init(struct shape *s)
{
    *s = (struct shape){.other_name = WEIR_STATE_NONE};
    weir_buf_init(&s->texts, MAX_NAMES_BYTES);
}

static void shape_finish(struct shape *s)
{
    free(s->properties);
    weir_buf_finish(&s->texts);
}

int weir_json_schema_object(struct weir_json_schema_compiler *c, uint32_t node)
{
    yyjson_val *schema = c->nodes[node].schema;
    yyjson_val *additional = yyjson_obj_get(schema, "additionalProperties");
    if (!yyjson_obj_get(schema, "properties") && !yyjson_obj_get(schema, "required") &&
        (!additional || yyjson_is_true(additional))) {
        weir_automaton_empty(c->a, c->nodes[node].rule, weir_json_object(c->a));
        return 0;
    }
    struct shape s;
    shape_init(&s);
    s.additional = yyjson_is_false(additional) ? NULL : additional;
    int r = add_properties(c, node, &s, schema);
    if (r == 0) {
        r = add_required(c, node, &s, schema);
    }
    if (r == 0) {
        r = lay(c, node, &s);
    }
    shape_finish(&s);
    return r;
}

/* The schema that a chain of $ref ends at. */
static int follow_refs(struct weir_json_schema_compiler *c, uint32_t node, yyjson_val **part)
{
    static const char *const alone[] = {"$ref", NULL};
    int r = 0;
    for (int hop = 0; r == 0 && yyjson_obj_get(*part, "$ref"); hop++) {
        r = weir_json_schema_only(c, node, *part, alone);
        if (r == 0 && hop == MAX_REF_HOPS) {
            r = weir_json_schema_refuse(c, node, "allOf: a $ref leads back to itself");
        }
        if (r == 0) {
            r = weir_json_schema_resolve(c, node, yyjson_obj_get(*part, "$ref"), part);
        }
    }
    return r;
}

/* Adds the properties of an object's schema, when it says nothing that cannot be put together. */
static int merge_part(struct weir_json_schema_compiler *c, uint32_t node, struct shape *s,
                      yyjson_val *part)
{
    static const char *const mergeable[] = {"allOf", "type", "properties", "required", NULL};
    int r = follow_refs(c, node, &part);
    if (r < 0) {
        return r;
    }
    yyjson_val *type = yyjson_obj_get(part, "type");
    bool nested = part != c->nodes[node].schema && yyjson_obj_get(part, "allOf");
    if (!yyjson_is_obj(part) || nested || (type && !yyjson_equals_str(type, "object"))) {
        return weir_json_schema_refuse(c, node, "allOf can only put objects together");
    }
    r = weir_json_schema_only(c, node, part, mergeable);
    if (r == 0) {
        r = add_properties(c, node, s, part);
    }
    return r;
}

int weir_json_schema_all_of(struct weir_json_schema_compiler *c, uint32_t node)
{
    yyjson_val *schema = c->nodes[node].schema, *list = yyjson_obj_get(schema, "allOf");
    if (yyjson_arr_size(list) == 0) {
        return weir_json_schema_refuse(c, node, "allOf must be a list of at least one schema");
    }
    struct shape s;
    shape_init(&s);
    int r = 0;
    size_t i, n;
    yyjson_val *part;
    yyjson_arr_foreach(list, i, n, part)
    {
        r = r == 0 ? merge_part(c, node, &s, part) : r;
    }
    r = r == 0 ? merge_part(c, node, &s, schema) : r;
    yyjson_arr_foreach(list, i, n, part)
    {
        yyjson_val *object = part;
        r = r == 0 ? follow_refs(c, node, &object) : r;
        r = r == 0 ? add_required(c, node, &s, object) : r;
    }
    r = r == 0 ? add_required(c, node, &s, schema) : r;
    r = r == 0 ? lay(c, node, &s) : r;
    shape_finish(&s);
    return r;
}
