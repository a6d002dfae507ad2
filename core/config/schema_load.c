/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "core/config/nearest.h"
#include "core/config/schema_internal.h"

enum { ARENA_BYTES = 64 * 1024 * 1024 };

struct loader {
    struct weir_schema *schema;
    struct weir_findings *findings;
    bool out_of_memory;
};

static void *take(struct loader *l, size_t n, size_t size)
{
    void *p = weir_arena_array(&l->schema->arena, n, size);
    l->out_of_memory = l->out_of_memory || !p;
    return p;
}

static struct weir_schema_rule *new_rule(struct loader *l, const struct weir_doc_node *source)
{
    struct weir_schema_rule *rule = take(l, 1, sizeof(*rule));
    if (rule) {
        rule->source = source;
        rule->older = l->schema->newest;
        l->schema->newest = rule;
    }
    return rule;
}

static bool expect(struct loader *l, const struct weir_doc_node *node, enum weir_doc_type type)
{
    if (node->type == type) {
        return true;
    }
    weir_doc_complain(l->findings, node, NULL, "must be %s, not %s", weir_doc_type_name(type),
                      weir_doc_type_name(node->type));
    return false;
}

static void load_rule(struct loader *l, struct weir_schema_rule *rule);

/* Recursion through load_rule is bounded by the depth of the schema document. */
static const struct weir_schema_rule *load_child(struct loader *l, const struct weir_doc_node *node)
{
    struct weir_schema_rule *rule = new_rule(l, node);
    if (rule) {
        load_rule(l, rule);
    }
    return rule;
}

/* Each reader takes one keyword's value into its field of the rule. */

static void read_note(struct loader *l, const struct weir_doc_node *node, void *field)
{
    (void)l;
    (void)node;
    (void)field;
}

static void read_node(struct loader *l, const struct weir_doc_node *node, void *field)
{
    (void)l;
    *(const struct weir_doc_node **)field = node;
}

static void read_text(struct loader *l, const struct weir_doc_node *node, void *field)
{
    if (expect(l, node, WEIR_DOC_STRING)) {
        *(const struct weir_doc_node **)field = node;
    }
}

static void read_choices(struct loader *l, const struct weir_doc_node *node, void *field)
{
    if (expect(l, node, WEIR_DOC_LIST)) {
        *(const struct weir_doc_node **)field = node;
        if (node->n_children == 0) {
            weir_doc_complain(l->findings, node, NULL, "is empty; name at least one value");
        }
    }
}

static void read_required(struct loader *l, const struct weir_doc_node *node, void *field)
{
    if (!expect(l, node, WEIR_DOC_LIST)) {
        return;
    }
    for (const struct weir_doc_node *c = node->first; c; c = c->next) {
        (void)expect(l, c, WEIR_DOC_STRING);
    }
    *(const struct weir_doc_node **)field = node;
}

static void read_flag(struct loader *l, const struct weir_doc_node *node, void *field)
{
    if (expect(l, node, WEIR_DOC_BOOL)) {
        *(bool *)field = node->boolean;
    }
}

static void read_number(struct loader *l, const struct weir_doc_node *node, void *field)
{
    if (node->type == WEIR_DOC_INT || expect(l, node, WEIR_DOC_FLOAT)) {
        *(struct weir_schema_bound *)field =
            (struct weir_schema_bound){.set = true, .value = node->number};
    }
}

static void read_divisor(struct loader *l, const struct weir_doc_node *node, void *field)
{
    read_number(l, node, field);
    const struct weir_schema_bound *b = field;
    if (b->set && !(b->value > 0)) {
        weir_doc_complain(l->findings, node, NULL, "must be above 0");
    }
}

static void read_count(struct loader *l, const struct weir_doc_node *node, void *field)
{
    if (!expect(l, node, WEIR_DOC_INT)) {
        return;
    }
    if (node->integer < 0) {
        weir_doc_complain(l->findings, node, NULL, "must not be negative");
        return;
    }
    read_number(l, node, field);
}

static void read_type_name(struct loader *l, const struct weir_doc_node *node, unsigned *types)
{
    static const struct {
        const char *name;
        unsigned bits;
    } known[] = {
        {"null", 1u << WEIR_DOC_NULL},     {"boolean", 1u << WEIR_DOC_BOOL},
        {"integer", 1u << WEIR_DOC_INT},   {"number", 1u << WEIR_DOC_INT | 1u << WEIR_DOC_FLOAT},
        {"string", 1u << WEIR_DOC_STRING}, {"array", 1u << WEIR_DOC_LIST},
        {"object", 1u << WEIR_DOC_MAP},
    };
    if (node->type == WEIR_DOC_NULL && weir_str_is(node->text, "null")) {
        *types |= 1u << WEIR_DOC_NULL; /* a schema in YAML: `type: [string, null]` */
        return;
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (node->type == WEIR_DOC_STRING && weir_str_is(node->text, known[i].name)) {
            *types |= known[i].bits;
            return;
        }
    }
    weir_doc_complain(l->findings, node, NULL,
                      "must be null, boolean, integer, number, string, array or object");
}

static void read_type(struct loader *l, const struct weir_doc_node *node, void *field)
{
    if (node->type != WEIR_DOC_LIST) {
        read_type_name(l, node, field);
        return;
    }
    for (const struct weir_doc_node *c = node->first; c; c = c->next) {
        read_type_name(l, c, field);
    }
}

static void read_rule(struct loader *l, const struct weir_doc_node *node, void *field)
{
    *(const struct weir_schema_rule **)field = load_child(l, node);
}

static void read_rules(struct loader *l, const struct weir_doc_node *node, void *field)
{
    if (!expect(l, node, WEIR_DOC_LIST)) {
        return;
    }
    struct weir_schema_list *list = field;
    list->rules = take(l, node->n_children, sizeof(list->rules[0]));
    for (const struct weir_doc_node *c = node->first; c && list->rules; c = c->next) {
        list->rules[list->n++] = load_child(l, c);
    }
    if (node->n_children == 0) {
        weir_doc_complain(l->findings, node, NULL, "is empty; give at least one schema");
    }
}

static void read_members(struct loader *l, const struct weir_doc_node *node, void *field)
{
    if (!expect(l, node, WEIR_DOC_MAP)) {
        return;
    }
    struct weir_schema_members *members = field;
    members->rules = take(l, node->n_children, sizeof(members->rules[0]));
    if (!members->rules) {
        return;
    }
    for (const struct weir_doc_node *c = node->first; c; c = c->next) {
        members->rules[c->index] = load_child(l, c);
    }
    members->keys = node;
}

static struct weir_pattern *load_pattern(struct loader *l, const struct weir_doc_node *node,
                                         weir_str text)
{
    struct weir_pattern *pattern = malloc(sizeof(*pattern));
    if (!pattern) {
        l->out_of_memory = true;
        return NULL;
    }
    struct weir_error err = {0};
    if (weir_pattern_init(pattern, text, &err) < 0) {
        free(pattern);
        weir_doc_complain(l->findings, node, NULL, "%s", err.message);
        return NULL;
    }
    return pattern;
}

static void read_pattern(struct loader *l, const struct weir_doc_node *node, void *field)
{
    struct weir_schema_rule *rule = field;
    if (expect(l, node, WEIR_DOC_STRING)) {
        rule->pattern = load_pattern(l, node, node->text);
        rule->pattern_text = node;
    }
}

static void read_pattern_members(struct loader *l, const struct weir_doc_node *node, void *field)
{
    struct weir_schema_patterns *out = field;
    struct weir_schema_members members = {0};
    read_members(l, node, &members);
    if (!members.keys) {
        return;
    }
    out->patterns = take(l, node->n_children, sizeof(out->patterns[0]));
    if (!out->patterns) {
        return;
    }
    for (const struct weir_doc_node *c = node->first; c; c = c->next) {
        out->patterns[c->index] = load_pattern(l, c, c->key);
    }
    out->rules = members.rules;
    out->keys = members.keys;
}

static void read_format(struct loader *l, const struct weir_doc_node *node, void *field)
{
    if (!expect(l, node, WEIR_DOC_STRING)) {
        return;
    }
    const struct weir_schema_format *format = weir__schema_format_find(node->text);
    if (!format) {
        weir_doc_complain(l->findings, node, NULL, "is an unknown format; known are %s",
                          weir__schema_format_names());
    }
    *(const struct weir_schema_format **)field = format;
}

static void read_ref(struct loader *l, const struct weir_doc_node *node, void *field)
{
    static const char prefix[] = "#/$defs/";
    const struct weir_schema_rule **ref = field;
    if (!expect(l, node, WEIR_DOC_STRING)) {
        return;
    }
    if (weir_str_is(node->text, "#")) {
        *ref = l->schema->root;
        return;
    }
    size_t n = sizeof(prefix) - 1;
    const struct weir_doc_node *def = NULL;
    if (node->text.n > n && memcmp(node->text.p, prefix, n) == 0) {
        weir_str name = {node->text.p + n, node->text.n - n};
        def = weir_doc_get(l->schema->defs.keys, name);
    }
    if (!def) {
        weir_doc_complain(l->findings, node, NULL,
                          "must be # or #/$defs/NAME with a NAME that $defs has");
        return;
    }
    *ref = l->schema->defs.rules[def->index];
}

/* Read before all else, by load_defs(). */
static void read_defs(struct loader *l, const struct weir_doc_node *node, void *field)
{
    (void)field;
    if (node != l->schema->defs.keys) {
        weir_doc_complain_key(l->findings, node, NULL, "is allowed at the top of a schema only");
    }
}

struct keyword {
    const char *name;
    void (*read)(struct loader *l, const struct weir_doc_node *node, void *field);
    size_t offset; /* of the field in struct weir_schema_rule */
};

#define FIELD(name) offsetof(struct weir_schema_rule, name)
static const struct keyword keywords[] = {
    {"$comment", read_note, 0},
    {"$defs", read_defs, 0},
    {"$id", read_note, 0},
    {"$ref", read_ref, FIELD(ref)},
    {"$schema", read_note, 0},
    {"additionalProperties", read_rule, FIELD(additional)},
    {"allOf", read_rules, FIELD(all_of)},
    {"anyOf", read_rules, FIELD(any_of)},
    {"const", read_node, FIELD(constant)},
    {"default", read_node, FIELD(fallback)},
    {"deprecated", read_note, 0},
    {"description", read_text, FIELD(description)},
    {"enum", read_choices, FIELD(choices)},
    {"examples", read_note, 0},
    {"exclusiveMaximum", read_number, FIELD(below)},
    {"exclusiveMinimum", read_number, FIELD(above)},
    {"format", read_format, FIELD(format)},
    {"items", read_rule, FIELD(items)},
    {"maxItems", read_count, FIELD(max_items)},
    {"maxLength", read_count, FIELD(max_length)},
    {"maxProperties", read_count, FIELD(max_properties)},
    {"maximum", read_number, FIELD(maximum)},
    {"minItems", read_count, FIELD(min_items)},
    {"minLength", read_count, FIELD(min_length)},
    {"minProperties", read_count, FIELD(min_properties)},
    {"minimum", read_number, FIELD(minimum)},
    {"multipleOf", read_divisor, FIELD(divisor)},
    {"not", read_rule, FIELD(not_rule)},
    {"oneOf", read_rules, FIELD(one_of)},
    {"pattern", read_pattern, 0},
    {"patternProperties", read_pattern_members, FIELD(pattern_properties)},
    {"prefixItems", read_rules, FIELD(prefix_items)},
    {"properties", read_members, FIELD(properties)},
    {"propertyNames", read_rule, FIELD(names)},
    {"required", read_required, FIELD(required)},
    {"title", read_note, 0},
    {"type", read_type, FIELD(types)},
    {"uniqueItems", read_flag, FIELD(unique)},
    {"writeOnly", read_flag, FIELD(secret)},
};
#undef FIELD

enum { N_KEYWORDS = sizeof(keywords) / sizeof(keywords[0]) };

static const struct keyword *find_keyword(weir_str name)
{
    for (size_t i = 0; i < N_KEYWORDS; i++) {
        if (weir_str_is(name, keywords[i].name)) {
            return &keywords[i];
        }
    }
    return NULL;
}

static void complain_keyword(struct loader *l, const struct weir_doc_node *node)
{
    struct weir_nearest nearest;
    weir_nearest_init(&nearest, node->key);
    for (size_t i = 0; i < N_KEYWORDS; i++) {
        weir_nearest_offer(&nearest, weir_str_from(keywords[i].name));
    }
    if (nearest.best.p) {
        weir_doc_complain_key(l->findings, node, NULL,
                              "is no schema keyword known here; did you mean %s?", nearest.best.p);
    } else {
        weir_doc_complain_key(l->findings, node, NULL, "is no schema keyword known here");
    }
}

static void load_rule(struct loader *l, struct weir_schema_rule *rule)
{
    const struct weir_doc_node *source = rule->source;
    if (source->type == WEIR_DOC_BOOL) {
        rule->never = !source->boolean;
        return;
    }
    if (source->type != WEIR_DOC_MAP) {
        weir_doc_complain(l->findings, source, NULL, "must be a schema: an object, true or false");
        return;
    }
    for (const struct weir_doc_node *c = source->first; c; c = c->next) {
        const struct keyword *k = find_keyword(c->key);
        if (k) {
            k->read(l, c, (char *)rule + k->offset);
        } else {
            complain_keyword(l, c);
        }
    }
}

/* Rules for all of $defs exist before any is loaded, so that a $ref resolves at once. */
static void load_defs(struct loader *l)
{
    const struct weir_doc_node *defs =
        weir_doc_get(l->schema->root->source, (weir_str)WEIR_STR_INIT("$defs"));
    if (!defs || !expect(l, defs, WEIR_DOC_MAP)) {
        return;
    }
    struct weir_schema_rule **rules = take(l, defs->n_children, sizeof(rules[0]));
    if (!rules) {
        return;
    }
    l->schema->defs.keys = defs;
    l->schema->defs.rules = (const struct weir_schema_rule **)rules;
    for (const struct weir_doc_node *c = defs->first; c; c = c->next) {
        rules[c->index] = new_rule(l, c);
    }
    for (size_t i = 0; i < defs->n_children && !l->out_of_memory; i++) {
        load_rule(l, rules[i]);
    }
}

static bool measure_chain(struct loader *l, struct weir_schema_rule *rule, unsigned depth);

static bool measure_next(struct loader *l, struct weir_schema_rule *rule,
                         const struct weir_schema_rule *next, unsigned depth)
{
    if (!next) {
        return true;
    }
    /* The loader made all rules; they become constant when loading is done. */
    struct weir_schema_rule *mutable_next = (struct weir_schema_rule *)next;
    if (!measure_chain(l, mutable_next, depth + 1)) {
        return false;
    }
    if (rule->chain < mutable_next->chain + 1) {
        rule->chain = mutable_next->chain + 1;
    }
    return true;
}

/* Follows the keywords that apply to the same place of the input. A cycle of them would never end.
 * Recursion is bounded by WEIR_SCHEMA_MAX_CHAIN. */
static bool measure_chain(struct loader *l, struct weir_schema_rule *rule, unsigned depth)
{
    if (rule->walk == WEIR_WALK_DONE) {
        return true;
    }
    if (rule->walk == WEIR_WALK_OPEN || depth > WEIR_SCHEMA_MAX_CHAIN) {
        weir_doc_complain(l->findings, rule->source, NULL,
                          "refers to itself, or is a chain of more than %d references",
                          WEIR_SCHEMA_MAX_CHAIN);
        return false;
    }
    rule->walk = WEIR_WALK_OPEN;
    bool ok =
        measure_next(l, rule, rule->ref, depth) && measure_next(l, rule, rule->not_rule, depth);
    const struct weir_schema_list *lists[] = {&rule->all_of, &rule->any_of, &rule->one_of};
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < lists[i]->n && ok; k++) {
            ok = measure_next(l, rule, lists[i]->rules[k], depth);
        }
    }
    if (ok && rule->chain > WEIR_SCHEMA_MAX_CHAIN) {
        weir_doc_complain(l->findings, rule->source, NULL, "is a chain of more than %d references",
                          WEIR_SCHEMA_MAX_CHAIN);
        ok = false;
    }
    rule->walk = WEIR_WALK_DONE;
    return ok;
}

static void check_chains(struct loader *l)
{
    for (struct weir_schema_rule *r = l->schema->newest; r; r = r->older) {
        if (!measure_chain(l, r, 0)) {
            return;
        }
    }
}

/* A default that its own schema refuses would be filled in unchecked. */
static void check_defaults(struct loader *l)
{
    for (struct weir_schema_rule *r = l->schema->newest; r; r = r->older) {
        if (r->fallback) {
            weir__schema_check_rule(r, r->fallback, l->findings, NULL, NULL);
        }
    }
}

static int load(struct loader *l)
{
    l->schema->root = new_rule(l, weir_doc_root(l->schema->doc));
    if (!l->schema->root) {
        return WEIR_E_NOMEM;
    }
    load_defs(l);
    load_rule(l, l->schema->root);
    if (l->out_of_memory) {
        return WEIR_E_NOMEM;
    }
    if (weir_findings_empty(l->findings)) {
        check_chains(l);
    }
    if (weir_findings_empty(l->findings)) {
        check_defaults(l);
    }
    return weir_findings_empty(l->findings) ? 0 : WEIR_E_FORMAT;
}

int weir_schema_load(weir_str text, struct weir_findings *findings, struct weir_schema **ret_schema)
{
    struct weir_schema *schema = calloc(1, sizeof(*schema));
    if (!schema) {
        return WEIR_E_NOMEM;
    }
    weir_arena_init(&schema->arena, ARENA_BYTES);
    int r = weir_doc_parse(text, findings, &schema->doc);
    if (r == 0) {
        r = load(&(struct loader){.schema = schema, .findings = findings});
    }
    if (r < 0) {
        weir_schema_destroy(schema);
        return r;
    }
    *ret_schema = schema;
    return 0;
}

static void destroy_pattern(struct weir_pattern *pattern)
{
    if (pattern) {
        weir_pattern_finish(pattern);
        free(pattern);
    }
}

void weir_schema_destroy(struct weir_schema *schema)
{
    if (!schema) {
        return;
    }
    for (struct weir_schema_rule *r = schema->newest; r; r = r->older) {
        destroy_pattern(r->pattern);
        const struct weir_schema_patterns *p = &r->pattern_properties;
        for (size_t i = 0; p->keys && i < p->keys->n_children; i++) {
            destroy_pattern(p->patterns[i]);
        }
    }
    weir_doc_destroy(schema->doc);
    weir_arena_finish(&schema->arena);
    free(schema);
}
