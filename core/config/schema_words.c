/* SPDX-License-Identifier: Apache-2.0 */
#include "schema_words.h"

#include "base/buf.h"
#include "core/config/nearest.h"

enum { LIST_BYTES = 300 };

/* The value, quoted and cut, for "not ..." at the end of a sentence. */
const char *weir__schema_quote(const struct weir_schema_voice *v, const struct weir_doc_node *node,
                               char out[WEIR_SCHEMA_QUOTE_BYTES])
{
    if (v->n_secret || node->secret) {
        return "what is there";
    }
    if (node->type == WEIR_DOC_LIST || node->type == WEIR_DOC_MAP || node->type == WEIR_DOC_NULL) {
        return weir_doc_type_name(node->type);
    }
    int keep = node->text.n > 40 ? 40 : (int)node->text.n;
    const char *quote = node->type == WEIR_DOC_STRING ? "\"" : "";
    (void)snprintf(out, WEIR_SCHEMA_QUOTE_BYTES, "%s%.*s%s%s", quote, keep, node->text.p,
                   node->text.n > 40 ? "..." : "", quote);
    return out;
}

static void list_types(unsigned types, struct weir_buf *out)
{
    if (types & 1u << WEIR_DOC_FLOAT) {
        types &= ~(1u << WEIR_DOC_INT); /* "a number" says both */
    }
    const char *between = "";
    for (unsigned t = WEIR_DOC_NULL; t <= WEIR_DOC_MAP; t++) {
        if (types & 1u << t) {
            weir_buf_add_text(out, between);
            weir_buf_add_text(out, weir_doc_type_name((enum weir_doc_type)t));
            between = " or ";
        }
    }
}

/* Why a plain word is not what its author thinks: YAML 1.1 habits and missing quotes. */
static const char *type_hint(unsigned types, const struct weir_doc_node *node)
{
    static const char *const old_booleans[] = {"yes", "Yes", "YES", "no",  "No",  "NO",
                                               "on",  "On",  "ON",  "off", "Off", "OFF"};
    bool plain = !node->quoted;
    if (plain && node->type == WEIR_DOC_STRING && types & 1u << WEIR_DOC_BOOL) {
        for (size_t i = 0; i < sizeof(old_booleans) / sizeof(old_booleans[0]); i++) {
            if (weir_str_is(node->text, old_booleans[i])) {
                return "; yes, no, on and off are plain words in YAML 1.2";
            }
        }
    }
    bool is_word =
        node->type == WEIR_DOC_BOOL || node->type == WEIR_DOC_INT || node->type == WEIR_DOC_FLOAT;
    if (is_word && types & 1u << WEIR_DOC_STRING) {
        return "; put it in quotes";
    }
    bool number = (types & (1u << WEIR_DOC_INT | 1u << WEIR_DOC_FLOAT)) != 0;
    if (node->quoted && number) {
        return "; leave out the quotes of a number";
    }
    return "";
}

void weir__schema_complain_type(const struct weir_schema_voice *v,
                                const struct weir_schema_rule *rule,
                                const struct weir_doc_node *node)
{
    char quote[WEIR_SCHEMA_QUOTE_BYTES];
    struct weir_buf allowed;
    weir_buf_init(&allowed, LIST_BYTES);
    if (rule->format) {
        weir_buf_add_text(&allowed, rule->format->allowed);
    } else {
        list_types(rule->types, &allowed);
    }
    const char *want = allowed.data ? allowed.data : "of another type";
    const char *hint = rule->format ? "" : type_hint(rule->types, node);
    bool number_or_text =
        node->type == WEIR_DOC_INT || node->type == WEIR_DOC_FLOAT || node->type == WEIR_DOC_STRING;
    if (number_or_text && !v->n_secret && !node->secret) {
        weir_doc_complain(v->findings, node, NULL, "must be %s, not %s %s%s", want,
                          weir_doc_type_name(node->type), weir__schema_quote(v, node, quote), hint);
    } else {
        weir_doc_complain(v->findings, node, NULL, "must be %s, not %s%s", want,
                          weir_doc_type_name(node->type), hint);
    }
    weir_buf_finish(&allowed);
}

/* "a, b or c" from scalars; others are named by their type. */
static void list_choices(const struct weir_doc_node *choices, struct weir_buf *out)
{
    for (const struct weir_doc_node *c = choices->first; c; c = c->next) {
        if (c->index > 0) {
            weir_buf_add_text(out, c->next ? ", " : " or ");
        }
        bool scalar = c->type != WEIR_DOC_LIST && c->type != WEIR_DOC_MAP;
        weir_buf_add_text(out, scalar ? c->text.p : weir_doc_type_name(c->type));
    }
}

void weir__schema_complain_choice(const struct weir_schema_voice *v,
                                  const struct weir_doc_node *choices,
                                  const struct weir_doc_node *node)
{
    char quote[WEIR_SCHEMA_QUOTE_BYTES];
    struct weir_buf allowed;
    struct weir_nearest nearest;
    weir_buf_init(&allowed, LIST_BYTES);
    list_choices(choices, &allowed);
    weir_nearest_init(&nearest, node->type == WEIR_DOC_STRING ? node->text : (weir_str){NULL, 0});
    for (const struct weir_doc_node *it = choices->first; it; it = it->next) {
        if (it->type == WEIR_DOC_STRING) {
            weir_nearest_offer(&nearest, it->text);
        }
    }
    bool near = nearest.best.p != NULL;
    weir_doc_complain(v->findings, node, NULL, "must be %s%s, not %s%s%s%s",
                      choices->n_children > 1 ? "one of " : "",
                      allowed.failed || !allowed.data ? "the values of its schema" : allowed.data,
                      weir__schema_quote(v, node, quote), near ? "; did you mean " : "",
                      near ? nearest.best.p : "", near ? "?" : "");
    weir_buf_finish(&allowed);
}

/* The keys as a list; those of patterns without the anchors that they have. */
static void add_keys(struct weir_buf *out, const struct weir_doc_node *keys)
{
    for (const struct weir_doc_node *k = keys ? keys->first : NULL; k; k = k->next) {
        weir_str key = k->key;
        if (key.n > 2 && key.p[0] == '^' && key.p[key.n - 1] == '$') {
            key = (weir_str){key.p + 1, key.n - 2};
        }
        weir_buf_add_text(out, out->len == 0 ? "; known here are " : ", ");
        weir_buf_add_str(out, key);
    }
}

void weir__schema_complain_unknown_key(const struct weir_schema_voice *v,
                                       const struct weir_schema_rule *rule,
                                       const struct weir_doc_node *node)
{
    const struct weir_doc_node *keys = rule->properties.keys;
    struct weir_nearest nearest;
    weir_nearest_init(&nearest, node->key);
    for (const struct weir_doc_node *k = keys ? keys->first : NULL; k; k = k->next) {
        weir_nearest_offer(&nearest, k->key);
    }
    if (nearest.best.p) {
        weir_doc_complain_key(v->findings, node, NULL, "is not a known key; did you mean %s?",
                              nearest.best.p);
        return;
    }
    struct weir_buf known;
    weir_buf_init(&known, LIST_BYTES);
    add_keys(&known, rule->pattern_properties.keys);
    add_keys(&known, keys);
    weir_doc_complain_key(v->findings, node, NULL, "is not a known key%s%s",
                          known.data ? known.data : "", known.failed ? ", ..." : "");
    weir_buf_finish(&known);
}

/* Says what the forms are, by their descriptions or types. */
void weir__schema_complain_forms(const struct weir_schema_voice *v,
                                 const struct weir_schema_list *forms,
                                 const struct weir_doc_node *node, const char *what)
{
    struct weir_buf names;
    weir_buf_init(&names, LIST_BYTES);
    for (size_t i = 0; i < forms->n; i++) {
        const struct weir_schema_rule *form = forms->rules[i];
        while (!form->description && !form->types && form->ref) {
            form = form->ref;
        }
        weir_buf_add_text(&names, i == 0 ? "" : i + 1 < forms->n ? ", " : " or ");
        if (form->description) {
            weir_buf_add_str(&names, form->description->text);
        } else if (form->types) {
            list_types(form->types, &names);
        } else {
            weir_buf_add_text(&names, "another form");
        }
    }
    char quote[WEIR_SCHEMA_QUOTE_BYTES];
    weir_doc_complain(v->findings, node, NULL, "%s %s, not %s", what,
                      names.failed || !names.data ? "the forms of its schema" : names.data,
                      weir__schema_quote(v, node, quote));
    weir_buf_finish(&names);
}
