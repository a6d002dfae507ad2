/* SPDX-License-Identifier: Apache-2.0 */
#include "json_schema_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "engine/grammar/json_rules.h"

enum { MAX_POINTER_BYTES = 256 };
/* About a fifth of a second. */
static const int64_t PATTERN_FUEL = 40000000;

enum keyword_kind {
    NOTE = 1, /* says nothing about values */
    FORM,     /* handled before the types */
    FOR_OBJECT,
    FOR_ARRAY,
    FOR_STRING,
    FOR_NUMBER,
};

static const struct keyword {
    const char *name;
    enum keyword_kind kind;
} keywords[] = {
    {"$schema", NOTE},
    {"$id", NOTE},
    {"$comment", NOTE},
    {"$defs", NOTE},
    {"definitions", NOTE},
    {"title", NOTE},
    {"description", NOTE},
    {"default", NOTE},
    {"examples", NOTE},
    {"example", NOTE},
    {"deprecated", NOTE},
    {"readOnly", NOTE},
    {"writeOnly", NOTE},
    {"discriminator", NOTE},
    {"type", FORM},
    {"enum", FORM},
    {"const", FORM},
    {"anyOf", FORM},
    {"oneOf", FORM},
    {"allOf", FORM},
    {"$ref", FORM},
    {"properties", FOR_OBJECT},
    {"required", FOR_OBJECT},
    {"additionalProperties", FOR_OBJECT},
    {"items", FOR_ARRAY},
    {"prefixItems", FOR_ARRAY},
    {"minItems", FOR_ARRAY},
    {"maxItems", FOR_ARRAY},
    {"uniqueItems", FOR_ARRAY},
    {"minLength", FOR_STRING},
    {"maxLength", FOR_STRING},
    {"pattern", FOR_STRING},
    {"format", FOR_STRING},
    {"minimum", FOR_NUMBER},
    {"maximum", FOR_NUMBER},
    {"exclusiveMinimum", FOR_NUMBER},
    {"exclusiveMaximum", FOR_NUMBER},
    {"multipleOf", FOR_NUMBER},
};

static const struct keyword *find_keyword(weir_str name)
{
    for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++) {
        if (weir_str_is(name, keywords[i].name)) {
            return &keywords[i];
        }
    }
    return NULL;
}

/* The JSON pointer of a node; long ones lose their begin. */
static void add_pointer(const struct weir_json_schema_compiler *c, uint32_t node,
                        struct weir_buf *out)
{
    enum { MAX_STEPS = 16 };
    uint32_t path[MAX_STEPS];
    uint32_t n = 0;
    for (uint32_t at = node; at != UINT32_MAX && n < MAX_STEPS; at = c->nodes[at].parent) {
        path[n++] = at;
    }
    for (uint32_t i = n; i-- > 0;) {
        const struct weir_json_schema_node *s = &c->nodes[path[i]];
        if (!s->keyword) {
            weir_buf_add_str(out, s->name);
            continue;
        }
        weir_buf_printf(out, "/%s", s->keyword);
        if (s->name.p) {
            weir_buf_printf(out, "/%.*s", (int)(s->name.n > 64 ? 64 : s->name.n), s->name.p);
        } else if (s->index != UINT32_MAX) {
            weir_buf_printf(out, "/%u", s->index);
        }
    }
}

int weir_json_schema_refuse(struct weir_json_schema_compiler *c, uint32_t node, const char *fmt,
                            ...)
{
    struct weir_buf pointer, text;
    weir_buf_init(&pointer, 16 * MAX_POINTER_BYTES);
    weir_buf_init(&text, sizeof(c->err->message));
    add_pointer(c, node, &pointer);
    va_list ap;
    va_start(ap, fmt);
    weir_buf_vprintf(&text, fmt, ap);
    va_end(ap);
    weir_str at = weir_buf_view(&pointer), what = weir_buf_view(&text);
    size_t shown = at.n > MAX_POINTER_BYTES ? MAX_POINTER_BYTES : at.n;
    int r = weir_error_set(c->err, WEIR_E_ARG, "%.*s: %.*s", (int)shown, at.n ? at.p : "",
                           (int)what.n, what.n ? what.p : "");
    weir_buf_finish(&pointer);
    weir_buf_finish(&text);
    return r;
}

int weir_json_schema_no_memory(struct weir_json_schema_compiler *c)
{
    return weir_error_set(c->err, WEIR_E_NOMEM, "out of memory");
}

static uint32_t *find_slot(const struct weir_json_schema_compiler *c, const yyjson_val *schema)
{
    uint64_t h = (uint64_t)(uintptr_t)schema * UINT64_C(0x9E3779B97F4A7C15);
    uint32_t i = (uint32_t)(h >> 32) & (c->n_slots - 1);
    while (c->slots[i] != 0 && c->nodes[c->slots[i] - 1].schema != schema) {
        i = (i + 1) & (c->n_slots - 1);
    }
    return &c->slots[i];
}

int weir_json_schema_child(struct weir_json_schema_compiler *c, struct weir_json_schema_node child,
                           uint32_t *ret_rule)
{
    uint32_t *slot = find_slot(c, child.schema);
    if (*slot == 0) {
        if (c->n_nodes == WEIR_JSON_SCHEMA_MAX_NODES) {
            return weir_error_set(c->err, WEIR_E_TOOBIG, "the schema holds over %d schemas",
                                  WEIR_JSON_SCHEMA_MAX_NODES);
        }
        if (c->n_nodes == c->cap_nodes) {
            uint32_t cap = c->cap_nodes ? 2 * c->cap_nodes : 64;
            void *p = realloc(c->nodes, cap * sizeof(*c->nodes));
            if (!p) {
                return weir_json_schema_no_memory(c);
            }
            c->nodes = p;
            c->cap_nodes = cap;
        }
        child.rule = weir_automaton_state(c->a);
        c->nodes[c->n_nodes++] = child;
        *slot = c->n_nodes;
    }
    *ret_rule = c->nodes[*slot - 1].rule;
    return 0;
}

int weir_json_schema_resolve(struct weir_json_schema_compiler *c, uint32_t node, yyjson_val *ref,
                             yyjson_val **ret_schema)
{
    weir_str text = weir_json_schema_text(ref);
    if (!yyjson_is_str(ref) || text.n == 0 || text.p[0] != '#') {
        return weir_json_schema_refuse(c, node,
                                       "$ref must begin with '#': only references within the "
                                       "schema are supported");
    }
    *ret_schema = text.n == 1 ? c->root : yyjson_ptr_getn(c->root, text.p + 1, text.n - 1);
    if (!*ret_schema) {
        return weir_json_schema_refuse(c, node, "$ref: nothing is at '%.*s'",
                                       (int)(text.n > 100 ? 100 : text.n), text.p);
    }
    return 0;
}

int weir_json_schema_count(struct weir_json_schema_compiler *c, uint32_t node, const char *keyword,
                           uint32_t *ret)
{
    yyjson_val *v = weir_json_schema_at(c, node, keyword);
    if (!v) {
        return 0;
    }
    double n = yyjson_get_num(v);
    if (!yyjson_is_num(v) || n < 0 || n != (double)(uint64_t)(n < 1e15 ? n : 0)) {
        return weir_json_schema_refuse(c, node, "%s must be a whole number from 0 to 10^15",
                                       keyword);
    }
    *ret = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
    return 0;
}

static bool is_one_of(weir_str name, const char *const *list)
{
    for (; *list; list++) {
        if (weir_str_is(name, *list)) {
            return true;
        }
    }
    return false;
}

int weir_json_schema_only(struct weir_json_schema_compiler *c, uint32_t node, yyjson_val *schema,
                          const char *const *but)
{
    size_t i, n;
    yyjson_val *key, *value;
    yyjson_obj_foreach(schema, i, n, key, value)
    {
        weir_str name = weir_json_schema_text(key);
        const struct keyword *k = find_keyword(name);
        if (!(k && k->kind == NOTE) && !is_one_of(name, but)) {
            return weir_json_schema_refuse(c, node, "keyword '%.*s' is not supported beside '%s'",
                                           (int)(name.n > 64 ? 64 : name.n), name.p, but[0]);
        }
    }
    return 0;
}

/* Refuses what is unknown; tells for which types there are keywords. */
static int check_keywords(struct weir_json_schema_compiler *c, uint32_t node, bool *for_kind)
{
    size_t i, n;
    yyjson_val *key, *value;
    yyjson_obj_foreach(c->nodes[node].schema, i, n, key, value)
    {
        weir_str name = weir_json_schema_text(key);
        const struct keyword *k = find_keyword(name);
        if (!k) {
            return weir_json_schema_refuse(c, node, "keyword '%.*s' is not supported",
                                           (int)(name.n > 64 ? 64 : name.n), name.p);
        }
        for_kind[k->kind] = true;
    }
    return 0;
}

static int add_ref(struct weir_json_schema_compiler *c, uint32_t node)
{
    static const char *const alone[] = {"$ref", NULL};
    yyjson_val *ref = weir_json_schema_at(c, node, "$ref"), *schema = NULL;
    int r = weir_json_schema_only(c, node, c->nodes[node].schema, alone);
    if (r == 0) {
        r = weir_json_schema_resolve(c, node, ref, &schema);
    }
    uint32_t rule = WEIR_STATE_POP;
    if (r == 0) {
        r = weir_json_schema_child(c,
                                   (struct weir_json_schema_node){
                                       .schema = schema,
                                       .parent = UINT32_MAX,
                                       .name = weir_json_schema_text(ref),
                                       .index = UINT32_MAX,
                                   },
                                   &rule);
    }
    if (r == 0) {
        weir_automaton_empty(c->a, c->nodes[node].rule, rule);
    }
    return r;
}

static int add_alternatives(struct weir_json_schema_compiler *c, uint32_t node, const char *keyword)
{
    const char *alone[] = {keyword, NULL};
    yyjson_val *list = weir_json_schema_at(c, node, keyword);
    int r = weir_json_schema_only(c, node, c->nodes[node].schema, alone);
    if (r == 0 && yyjson_arr_size(list) == 0) {
        r = weir_json_schema_refuse(c, node, "%s must be a list of at least one schema", keyword);
    }
    if (r < 0) {
        return r;
    }
    size_t i, n;
    yyjson_val *schema;
    yyjson_arr_foreach(list, i, n, schema)
    {
        uint32_t rule = WEIR_STATE_POP;
        if (r == 0) {
            r = weir_json_schema_child(c,
                                       (struct weir_json_schema_node){
                                           .schema = schema,
                                           .parent = node,
                                           .keyword = keyword,
                                           .index = (uint32_t)i,
                                       },
                                       &rule);
        }
        if (r == 0) {
            weir_automaton_empty(c->a, c->nodes[node].rule, rule);
        }
    }
    return r;
}

static int add_type(struct weir_json_schema_compiler *c, uint32_t node, weir_str type)
{
    uint32_t rule = c->nodes[node].rule;
    if (weir_str_is(type, "object")) {
        return weir_json_schema_object(c, node);
    }
    if (weir_str_is(type, "array")) {
        return weir_json_schema_array(c, node);
    }
    if (weir_str_is(type, "string")) {
        return weir_json_schema_string(c, node);
    }
    if (weir_str_is(type, "number") || weir_str_is(type, "integer")) {
        return weir_json_schema_number(c, node, weir_str_is(type, "integer"));
    }
    if (weir_str_is(type, "boolean")) {
        weir_automaton_empty(c->a, rule, weir_json_boolean(c->a));
        return 0;
    }
    if (weir_str_is(type, "null")) {
        weir_automaton_empty(c->a, rule, weir_json_null(c->a));
        return 0;
    }
    return weir_json_schema_refuse(c, node,
                                   "type '%.*s' is none of object, array, string, number, "
                                   "integer, boolean, null",
                                   (int)(type.n > 64 ? 64 : type.n), type.n ? type.p : "");
}

static int add_types(struct weir_json_schema_compiler *c, uint32_t node, yyjson_val *type)
{
    if (!yyjson_is_arr(type)) {
        return add_type(c, node, weir_json_schema_text(type));
    }
    if (yyjson_arr_size(type) == 0) {
        return weir_json_schema_refuse(c, node, "type must not be an empty list");
    }
    size_t i, n;
    yyjson_val *one;
    int r = 0;
    yyjson_arr_foreach(type, i, n, one)
    {
        if (r == 0) {
            r = add_type(c, node, weir_json_schema_text(one));
        }
    }
    return r;
}

/* Without `type`: the types that there are keywords for, or everything. */
static int add_guessed_types(struct weir_json_schema_compiler *c, uint32_t node,
                             const bool *for_kind)
{
    int r = 0;
    if (for_kind[FOR_OBJECT]) {
        r = weir_json_schema_object(c, node);
    }
    if (r == 0 && for_kind[FOR_ARRAY]) {
        r = weir_json_schema_array(c, node);
    }
    if (r == 0 && for_kind[FOR_STRING]) {
        r = weir_json_schema_string(c, node);
    }
    if (r == 0 && for_kind[FOR_NUMBER]) {
        r = weir_json_schema_number(c, node, false);
    }
    if (!for_kind[FOR_OBJECT] && !for_kind[FOR_ARRAY] && !for_kind[FOR_STRING] &&
        !for_kind[FOR_NUMBER]) {
        weir_automaton_empty(c->a, c->nodes[node].rule, weir_json_value(c->a));
    }
    return r;
}

static int compile_node(struct weir_json_schema_compiler *c, uint32_t node)
{
    yyjson_val *schema = c->nodes[node].schema;
    if (yyjson_is_bool(schema)) {
        if (yyjson_get_bool(schema)) {
            weir_automaton_empty(c->a, c->nodes[node].rule, weir_json_value(c->a));
        }
        return 0; /* false: the rule stays without a way out */
    }
    if (!yyjson_is_obj(schema)) {
        return weir_json_schema_refuse(c, node, "a schema must be an object or a boolean");
    }
    bool for_kind[FOR_NUMBER + 1] = {false};
    int r = check_keywords(c, node, for_kind);
    if (r < 0) {
        return r;
    }
    if (weir_json_schema_at(c, node, "$ref")) {
        return add_ref(c, node);
    }
    if (weir_json_schema_at(c, node, "enum") || weir_json_schema_at(c, node, "const")) {
        return weir_json_schema_literals(c, node);
    }
    if (weir_json_schema_at(c, node, "anyOf")) {
        return add_alternatives(c, node, "anyOf");
    }
    if (weir_json_schema_at(c, node, "oneOf")) {
        return add_alternatives(c, node, "oneOf");
    }
    yyjson_val *all = weir_json_schema_at(c, node, "allOf");
    if (all && yyjson_arr_size(all) == 1 && !for_kind[FOR_OBJECT] &&
        !weir_json_schema_at(c, node, "type")) {
        return add_alternatives(c, node, "allOf");
    }
    if (all) {
        return weir_json_schema_all_of(c, node);
    }
    yyjson_val *type = weir_json_schema_at(c, node, "type");
    return type ? add_types(c, node, type) : add_guessed_types(c, node, for_kind);
}

static int compile(struct weir_json_schema_compiler *c, uint32_t *ret_rule)
{
    c->n_slots = 1;
    while (c->n_slots < 2 * WEIR_JSON_SCHEMA_MAX_NODES) {
        c->n_slots *= 2;
    }
    c->slots = calloc(c->n_slots, sizeof(*c->slots));
    if (!c->slots) {
        return weir_json_schema_no_memory(c);
    }
    int r = weir_json_schema_child(c,
                                   (struct weir_json_schema_node){
                                       .schema = c->root,
                                       .parent = UINT32_MAX,
                                       .name = WEIR_STR_INIT("#"),
                                       .index = UINT32_MAX,
                                   },
                                   ret_rule);
    for (uint32_t i = 0; r == 0 && i < c->n_nodes && c->a->code == 0; i++) {
        r = compile_node(c, i);
    }
    return r;
}

int weir_json_schema_rule(struct weir_automaton *a, weir_str text, uint32_t *ret_rule,
                          struct weir_error *err)
{
    struct weir_error ignored;
    err = err ? err : &ignored;
    if (text.n > WEIR_JSON_SCHEMA_MAX_BYTES) {
        return weir_error_set(err, WEIR_E_TOOBIG, "the schema is longer than %d bytes",
                              WEIR_JSON_SCHEMA_MAX_BYTES);
    }
    yyjson_doc *doc = yyjson_read(text.p, text.n, 0);
    if (!doc) {
        return weir_error_set(err, WEIR_E_ARG, "the schema is not valid JSON");
    }
    struct weir_json_schema_compiler c = {
        .a = a, .root = yyjson_doc_get_root(doc), .err = err, .pattern_fuel = PATTERN_FUEL};
    int r = compile(&c, ret_rule);
    free(c.nodes);
    free(c.slots);
    yyjson_doc_free(doc);
    return r;
}
