/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The compiled form of a schema, for schema_load.c and schema_check.c only.
 *
 * One weir_schema_rule per schema object; all of a rule's keywords must hold. Everything lives in
 * the schema's arena or in its source document. */
#include "core/config/pattern.h"
#include "core/config/schema.h"

enum {
    WEIR_SCHEMA_MAX_CHAIN = 64, /* rules that apply to one place through $ref, allOf, ... */
};

struct weir_schema_rule;

struct weir_schema_bound {
    bool set;
    double value;
};

struct weir_schema_list {
    const struct weir_schema_rule **rules;
    size_t n;
};

/* Rules by key: rules[i] belongs to the i-th child of `keys`. */
struct weir_schema_members {
    const struct weir_doc_node *keys; /* NULL: none */
    const struct weir_schema_rule **rules;
};

struct weir_schema_patterns {
    const struct weir_doc_node *keys;
    const struct weir_schema_rule **rules;
    struct weir_pattern **patterns;
};

enum weir_schema_walk { WEIR_WALK_NEW, WEIR_WALK_OPEN, WEIR_WALK_DONE };

struct weir_schema_rule {
    const struct weir_doc_node *source;
    struct weir_schema_rule *older;       /* all rules of the schema, newest first */
    bool never;                           /* the schema `false` */
    bool secret;                          /* writeOnly */
    unsigned types;                       /* 1u << enum weir_doc_type, 0: any */
    const struct weir_doc_node *choices;  /* enum */
    const struct weir_doc_node *constant; /* const */
    const struct weir_doc_node *fallback; /* default */
    const struct weir_doc_node *description;
    const struct weir_doc_node *required;
    struct weir_schema_members properties;
    struct weir_schema_patterns pattern_properties;
    const struct weir_schema_rule *additional;
    const struct weir_schema_rule *names;
    const struct weir_schema_rule *items;
    struct weir_schema_list prefix_items;
    struct weir_schema_bound min_properties, max_properties;
    struct weir_schema_bound min_items, max_items;
    struct weir_schema_bound min_length, max_length;
    struct weir_schema_bound minimum, maximum, above, below, divisor;
    bool unique;
    struct weir_pattern *pattern;
    const struct weir_doc_node *pattern_text;
    const struct weir_schema_format *format;
    const struct weir_schema_rule *ref, *not_rule;
    struct weir_schema_list all_of, any_of, one_of;
    enum weir_schema_walk walk; /* of the check for $ref cycles */
    unsigned chain;             /* longest chain of rules below at the same place */
};

struct weir_schema_format {
    const char *name;
    bool (*holds)(weir_str text);
    const char *allowed; /* "a duration such as 30s, 50ms, 15m or 7d" */
};

/* NULL when there is no such format. */
const struct weir_schema_format *weir__schema_format_find(weir_str name);
/* Names for messages: "duration, bytes, uri, host-port". */
const char *weir__schema_format_names(void);

struct weir_schema {
    struct weir_arena arena;
    struct weir_doc *doc;
    struct weir_schema_rule *root;
    struct weir_schema_rule *newest;
    struct weir_schema_members defs;
};

/* Checks as weir_schema_check() does, from any rule. */
void weir__schema_check_rule(const struct weir_schema_rule *rule, const struct weir_doc_node *node,
                             struct weir_findings *findings, yyjson_mut_doc *json,
                             yyjson_mut_val *value);
