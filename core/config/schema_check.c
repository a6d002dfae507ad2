/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "core/config/doc_json.h"
#include "core/config/schema_words.h"

/* More than any sane file needs; anyOf within anyOf could otherwise take exponential time. */
enum { MAX_STEPS = 2 * 1000 * 1000, MAX_CALLS = 1000 };

struct checker {
    struct weir_schema_voice voice;
    yyjson_mut_doc *json; /* NULL: only check */
    unsigned n_steps;
    unsigned n_calls; /* nested calls of check() */
    bool gave_up;
    bool out_of_memory;
};

/* `value` is the node as JSON, where defaults go; NULL: only check. Recursion is bounded by the
 * input's depth times the length of a chain, and by MAX_CALLS for defaults within defaults. */
static void check(struct checker *c, const struct weir_schema_rule *rule,
                  const struct weir_doc_node *node, yyjson_mut_val *value);

static bool enter(struct checker *c)
{
    if (c->gave_up || ++c->n_steps > MAX_STEPS || c->n_calls == MAX_CALLS) {
        c->gave_up = true;
        return false;
    }
    c->n_calls++;
    return true;
}

/* Does the rule hold? Nothing is reported and nothing filled in. */
static bool holds(struct checker *c, const struct weir_schema_rule *rule,
                  const struct weir_doc_node *node)
{
    struct weir_findings trial;
    struct weir_findings *kept = c->voice.findings;
    weir_findings_init(&trial, "");
    c->voice.findings = &trial;
    check(c, rule, node, NULL);
    bool ok = weir_findings_empty(&trial);
    c->voice.findings = kept;
    weir_findings_finish(&trial);
    return ok;
}

static const char *plural(double n)
{
    return n == 1 ? "" : "s";
}

/* Scalars. */

static void check_choice(struct checker *c, const struct weir_schema_rule *rule,
                         const struct weir_doc_node *node)
{
    if (rule->constant && !weir_doc_equal(rule->constant, node)) {
        char want[WEIR_SCHEMA_QUOTE_BYTES];
        char have[WEIR_SCHEMA_QUOTE_BYTES];
        weir_doc_complain(c->voice.findings, node, NULL, "must be %s, not %s",
                          weir__schema_quote(&c->voice, rule->constant, want),
                          weir__schema_quote(&c->voice, node, have));
    }
    if (!rule->choices) {
        return;
    }
    for (const struct weir_doc_node *it = rule->choices->first; it; it = it->next) {
        if (weir_doc_equal(it, node)) {
            return;
        }
    }
    weir__schema_complain_choice(&c->voice, rule->choices, node);
}

static bool is_multiple(const struct weir_doc_node *node, double divisor)
{
    if (node->type == WEIR_DOC_INT && divisor == floor(divisor) && divisor < 0x1p62) {
        return node->integer % (int64_t)divisor == 0;
    }
    /* 0.3 is a multiple of 0.1 for people: allow the rounding of one division. */
    double quotient = node->number / divisor;
    return fabs(quotient - round(quotient)) <= 1e-9 * fmax(1.0, fabs(quotient));
}

static void check_number(struct checker *c, const struct weir_schema_rule *rule,
                         const struct weir_doc_node *node)
{
    char quote[WEIR_SCHEMA_QUOTE_BYTES];
    double v = node->number;
    const char *text = weir__schema_quote(&c->voice, node, quote);
    if (rule->minimum.set && v < rule->minimum.value) {
        weir_doc_complain(c->voice.findings, node, NULL, "must be at least %.15g, not %s",
                          rule->minimum.value, text);
    }
    if (rule->maximum.set && v > rule->maximum.value) {
        weir_doc_complain(c->voice.findings, node, NULL, "must be at most %.15g, not %s",
                          rule->maximum.value, text);
    }
    if (rule->above.set && v <= rule->above.value) {
        weir_doc_complain(c->voice.findings, node, NULL, "must be above %.15g, not %s",
                          rule->above.value, text);
    }
    if (rule->below.set && v >= rule->below.value) {
        weir_doc_complain(c->voice.findings, node, NULL, "must be below %.15g, not %s",
                          rule->below.value, text);
    }
    if (rule->divisor.set && !is_multiple(node, rule->divisor.value)) {
        weir_doc_complain(c->voice.findings, node, NULL, "must be a multiple of %.15g, not %s",
                          rule->divisor.value, text);
    }
}

static size_t count_code_points(weir_str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    }
    return n;
}

static void check_string(struct checker *c, const struct weir_schema_rule *rule,
                         const struct weir_doc_node *node)
{
    char quote[WEIR_SCHEMA_QUOTE_BYTES];
    size_t n = count_code_points(node->text);
    if (rule->min_length.set && (double)n < rule->min_length.value) {
        weir_doc_complain(c->voice.findings, node, NULL,
                          "must have at least %.0f character%s, not %zu", rule->min_length.value,
                          plural(rule->min_length.value), n);
    }
    if (rule->max_length.set && (double)n > rule->max_length.value) {
        weir_doc_complain(c->voice.findings, node, NULL,
                          "must have at most %.0f character%s, not %zu", rule->max_length.value,
                          plural(rule->max_length.value), n);
    }
    if (rule->pattern && !weir_pattern_matches(rule->pattern, node->text)) {
        bool told = rule->description != NULL;
        weir_doc_complain(c->voice.findings, node, NULL, "must match the pattern %s%s%s%s, not %s",
                          rule->pattern_text->text.p, told ? " (" : "",
                          told ? rule->description->text.p : "", told ? ")" : "",
                          weir__schema_quote(&c->voice, node, quote));
    }
    if (rule->format && !rule->format->holds(node->text)) {
        weir_doc_complain(c->voice.findings, node, NULL, "must be %s, not %s",
                          rule->format->allowed, weir__schema_quote(&c->voice, node, quote));
    }
}

/* Lists. */

static void check_unique(struct checker *c, const struct weir_doc_node *node)
{
    for (const struct weir_doc_node *a = node->first; a; a = a->next) {
        for (const struct weir_doc_node *b = node->first; b != a; b = b->next) {
            if (++c->n_steps > MAX_STEPS) {
                return; /* the next enter() gives up */
            }
            if (weir_doc_equal(a, b)) {
                weir_doc_complain(c->voice.findings, a, NULL,
                                  "repeats the value at line %u; each may stand once",
                                  b->place.line);
                break;
            }
        }
    }
}

static void check_list(struct checker *c, const struct weir_schema_rule *rule,
                       const struct weir_doc_node *node, yyjson_mut_val *value)
{
    if (rule->min_items.set && (double)node->n_children < rule->min_items.value) {
        weir_doc_complain(c->voice.findings, node, NULL, "must have at least %.0f item%s, not %zu",
                          rule->min_items.value, plural(rule->min_items.value), node->n_children);
    }
    if (rule->max_items.set && (double)node->n_children > rule->max_items.value) {
        weir_doc_complain(c->voice.findings, node, NULL, "must have at most %.0f item%s, not %zu",
                          rule->max_items.value, plural(rule->max_items.value), node->n_children);
    }
    if (rule->unique) {
        check_unique(c, node);
    }
    yyjson_mut_arr_iter iter = {0};
    if (value) {
        (void)yyjson_mut_arr_iter_init(value, &iter);
    }
    for (const struct weir_doc_node *it = node->first; it; it = it->next) {
        yyjson_mut_val *item = value ? yyjson_mut_arr_iter_next(&iter) : NULL;
        const struct weir_schema_rule *item_rule =
            it->index < rule->prefix_items.n ? rule->prefix_items.rules[it->index] : rule->items;
        if (item_rule) {
            check(c, item_rule, it, item);
        }
    }
}

/* Maps. */

/* The rules that one member must meet: its property, all matching patterns, else additional. */
static void check_member(struct checker *c, const struct weir_schema_rule *rule,
                         const struct weir_doc_node *node, yyjson_mut_val *value)
{
    bool known = false;
    const struct weir_doc_node *property = weir_doc_get(rule->properties.keys, node->key);
    if (property) {
        known = true;
        check(c, rule->properties.rules[property->index], node, value);
    }
    const struct weir_schema_patterns *p = &rule->pattern_properties;
    for (size_t i = 0; p->keys && i < p->keys->n_children; i++) {
        if (weir_pattern_matches(p->patterns[i], node->key)) {
            known = true;
            check(c, p->rules[i], node, value);
        }
    }
    if (known || !rule->additional) {
        return;
    }
    if (rule->additional->never) {
        weir__schema_complain_unknown_key(&c->voice, rule, node);
    } else {
        check(c, rule->additional, node, value);
    }
}

static void check_name(struct checker *c, const struct weir_schema_rule *rule,
                       const struct weir_doc_node *node)
{
    struct weir_doc_node name = {.type = WEIR_DOC_STRING,
                                 .quoted = true,
                                 .place = node->key_place,
                                 .key_place = node->key_place,
                                 .key = node->key,
                                 .text = node->key,
                                 .index = node->index,
                                 .parent = node->parent};
    check(c, rule, &name, NULL);
}

static void check_required(struct checker *c, const struct weir_schema_rule *rule,
                           const struct weir_doc_node *node)
{
    if (!rule->required) {
        return;
    }
    for (const struct weir_doc_node *it = rule->required->first; it; it = it->next) {
        if (!weir_doc_get(node, it->text)) {
            weir_doc_complain(c->voice.findings, node, NULL, "lacks the required key %s",
                              it->text.p);
        }
    }
}

static void fill_default(struct checker *c, const struct weir_schema_rule *rule, weir_str key,
                         yyjson_mut_val *map)
{
    yyjson_mut_val *value = weir_doc_to_json(rule->fallback, c->json);
    yyjson_mut_val *name = yyjson_mut_strncpy(c->json, key.p, key.n);
    if (!yyjson_mut_obj_add(map, name, value)) {
        c->out_of_memory = true;
        return;
    }
    check(c, rule, rule->fallback, value);
}

static const struct weir_schema_rule *with_default(const struct weir_schema_rule *rule)
{
    /* Loading made sure that the chain of references ends. */
    while (rule && !rule->fallback) {
        rule = rule->ref;
    }
    return rule;
}

static void fill_defaults(struct checker *c, const struct weir_schema_rule *rule,
                          const struct weir_doc_node *node, yyjson_mut_val *map)
{
    const struct weir_schema_members *p = &rule->properties;
    for (const struct weir_doc_node *k = p->keys ? p->keys->first : NULL; k; k = k->next) {
        const struct weir_schema_rule *property = with_default(p->rules[k->index]);
        if (property && !weir_doc_get(node, k->key) &&
            !yyjson_mut_obj_getn(map, k->key.p, k->key.n)) {
            fill_default(c, property, k->key, map);
        }
    }
}

static void check_map(struct checker *c, const struct weir_schema_rule *rule,
                      const struct weir_doc_node *node, yyjson_mut_val *value)
{
    if (rule->min_properties.set && (double)node->n_children < rule->min_properties.value) {
        weir_doc_complain(c->voice.findings, node, NULL, "must have at least %.0f key%s, not %zu",
                          rule->min_properties.value, plural(rule->min_properties.value),
                          node->n_children);
    }
    if (rule->max_properties.set && (double)node->n_children > rule->max_properties.value) {
        weir_doc_complain(c->voice.findings, node, NULL, "must have at most %.0f key%s, not %zu",
                          rule->max_properties.value, plural(rule->max_properties.value),
                          node->n_children);
    }
    check_required(c, rule, node);
    /* The JSON members begin as the node's, in its order; defaults come behind them. */
    yyjson_mut_obj_iter iter = {0};
    if (value) {
        (void)yyjson_mut_obj_iter_init(value, &iter);
    }
    for (const struct weir_doc_node *it = node->first; it; it = it->next) {
        yyjson_mut_val *key = value ? yyjson_mut_obj_iter_next(&iter) : NULL;
        yyjson_mut_val *member = key ? yyjson_mut_obj_iter_get_val(key) : NULL;
        if (rule->names) {
            check_name(c, rule->names, it);
        }
        check_member(c, rule, it, member);
    }
    if (value) {
        fill_defaults(c, rule, node, value);
    }
}

/* Combinations. */

static bool accepts_type(const struct weir_schema_rule *rule, const struct weir_doc_node *node)
{
    for (; rule; rule = rule->ref) {
        if (rule->never || (rule->types && !(rule->types & 1u << node->type)) ||
            (rule->constant && rule->constant->type != node->type)) {
            return false;
        }
    }
    return true;
}

/* A form such as `auto` says too little alone about what else is allowed. */
static bool is_a_word(const struct weir_schema_rule *rule)
{
    while (rule && !rule->constant) {
        rule = rule->ref;
    }
    return rule != NULL;
}

/* anyOf and oneOf: the matching form is checked again to fill in its defaults; when none matches
 * but one has the right type, that one's complaints are the useful ones. */
static void check_forms(struct checker *c, const struct weir_schema_list *forms,
                        const struct weir_doc_node *node, yyjson_mut_val *value, bool exactly_one)
{
    if (forms->n == 0) {
        return;
    }
    const struct weir_schema_rule *match = NULL;
    const struct weir_schema_rule *candidate = NULL;
    size_t n_candidates = 0;
    for (size_t i = 0; i < forms->n; i++) {
        const struct weir_schema_rule *form = forms->rules[i];
        if (!accepts_type(form, node)) {
            continue;
        }
        candidate = form;
        n_candidates++;
        if ((match && !exactly_one) || !holds(c, form, node)) {
            continue;
        }
        if (match) {
            weir__schema_complain_forms(&c->voice, forms, node, "must be exactly one of");
            return;
        }
        match = form;
    }
    if (c->gave_up) {
        return;
    }
    if (match || (n_candidates == 1 && !is_a_word(candidate))) {
        check(c, match ? match : candidate, node, match ? value : NULL);
    } else {
        weir__schema_complain_forms(&c->voice, forms, node, "must be");
    }
}

static void check_combinations(struct checker *c, const struct weir_schema_rule *rule,
                               const struct weir_doc_node *node, yyjson_mut_val *value)
{
    if (rule->ref) {
        check(c, rule->ref, node, value);
    }
    for (size_t i = 0; i < rule->all_of.n; i++) {
        check(c, rule->all_of.rules[i], node, value);
    }
    check_forms(c, &rule->any_of, node, value, false);
    check_forms(c, &rule->one_of, node, value, true);
    if (rule->not_rule && holds(c, rule->not_rule, node) && !c->gave_up) {
        bool told = rule->not_rule->description != NULL;
        weir_doc_complain(c->voice.findings, node, NULL, "must not be %s",
                          told ? rule->not_rule->description->text.p
                               : "what its schema excludes with \"not\"");
    }
}

static void check(struct checker *c, const struct weir_schema_rule *rule,
                  const struct weir_doc_node *node, yyjson_mut_val *value)
{
    if (!enter(c)) {
        return;
    }
    c->voice.n_secret += rule->secret;
    if (rule->never) {
        weir_doc_complain(c->voice.findings, node, NULL, "is not allowed here");
    } else if (rule->types && !(rule->types & 1u << node->type)) {
        weir__schema_complain_type(&c->voice, rule, node);
    } else {
        check_choice(c, rule, node);
        switch (node->type) {
        case WEIR_DOC_INT:
        case WEIR_DOC_FLOAT: check_number(c, rule, node); break;
        case WEIR_DOC_STRING: check_string(c, rule, node); break;
        case WEIR_DOC_LIST: check_list(c, rule, node, value); break;
        case WEIR_DOC_MAP: check_map(c, rule, node, value); break;
        default: break;
        }
        check_combinations(c, rule, node, value);
    }
    c->voice.n_secret -= rule->secret;
    c->n_calls--;
}

void weir__schema_check_rule(const struct weir_schema_rule *rule, const struct weir_doc_node *node,
                             struct weir_findings *findings, yyjson_mut_doc *json,
                             yyjson_mut_val *value)
{
    struct checker c = {.voice = {.findings = findings}, .json = json};
    check(&c, rule, node, value);
    if (c.gave_up) {
        weir_doc_complain(findings, node, NULL, "is too complex to be checked by its schema");
    }
    if (c.out_of_memory) {
        weir_doc_complain(findings, node, NULL, "out of memory");
    }
}

int weir_schema_check(const struct weir_schema *schema, const struct weir_doc_node *node,
                      struct weir_findings *findings, yyjson_doc **ret_json)
{
    size_t before = findings->n + findings->n_left_out;
    yyjson_mut_doc *json = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *value = json ? weir_doc_to_json(node, json) : NULL;
    int r = WEIR_E_NOMEM;
    if (value) {
        weir__schema_check_rule(schema->root, node, findings, json, value);
        r = findings->n + findings->n_left_out == before ? 0 : WEIR_E_FORMAT;
    }
    if (r == 0 && ret_json) {
        yyjson_mut_doc_set_root(json, value);
        yyjson_doc *made = yyjson_mut_doc_imut_copy(json, NULL);
        r = made ? 0 : WEIR_E_NOMEM;
        *ret_json = made ? made : *ret_json;
    }
    yyjson_mut_doc_free(json);
    return r;
}
