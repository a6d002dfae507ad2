/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The compiler behind json_schema.h: a list of schemas, each a rule, worked off one by one.
 *
 * Why a list: a schema that refers to itself is a rule that calls itself, and no input decides how
 * deep our own stack gets. */
#include <yyjson.h>

#include "engine/grammar/json_schema.h"

struct weir_json_schema_node {
    yyjson_val *schema;
    uint32_t rule;       /* its state; calls may be laid before it is filled */
    uint32_t parent;     /* node; UINT32_MAX for the root and for what a $ref names */
    const char *keyword; /* of the parent, under which it stands; NULL: root or $ref */
    weir_str name;       /* below the keyword; or the text of the $ref */
    uint32_t index;      /* below the keyword; UINT32_MAX: none */
};

struct weir_json_schema_compiler {
    struct weir_automaton *a;
    yyjson_val *root;
    struct weir_json_schema_node *nodes;
    uint32_t n_nodes, cap_nodes;
    uint32_t *slots; /* [n_slots] hash of schema -> 1 + node; 0: free */
    uint32_t n_slots;
    int64_t pattern_fuel; /* for all patterns together */
    struct weir_error *err;
};

/* Fails with WEIR_E_ARG and "<pointer of the node>: ...". */
int weir_json_schema_refuse(struct weir_json_schema_compiler *c, uint32_t node, const char *fmt,
                            ...) WEIR_PRINTF(3, 4);
int weir_json_schema_no_memory(struct weir_json_schema_compiler *c);

/* The rule of a schema that stands below `node`: made now or before. */
int weir_json_schema_child(struct weir_json_schema_compiler *c, struct weir_json_schema_node child,
                           uint32_t *ret_rule);
/* What a $ref's text names. */
int weir_json_schema_resolve(struct weir_json_schema_compiler *c, uint32_t node, yyjson_val *ref,
                             yyjson_val **ret_schema);
/* A keyword's value as a count: *ret keeps its value when the keyword is absent. */
int weir_json_schema_count(struct weir_json_schema_compiler *c, uint32_t node, const char *keyword,
                           uint32_t *ret);
/* Every keyword of `schema` must say nothing about values, but for `but` (a NULL-ended list). */
int weir_json_schema_only(struct weir_json_schema_compiler *c, uint32_t node, yyjson_val *schema,
                          const char *const *but);

/* Each lays the values of one type below the node's rule. */
int weir_json_schema_object(struct weir_json_schema_compiler *c, uint32_t node);
int weir_json_schema_array(struct weir_json_schema_compiler *c, uint32_t node);
/* The same, for uniqueItems. */
int weir_json_schema_unique(struct weir_json_schema_compiler *c, uint32_t node, uint32_t min,
                            uint32_t max);
int weir_json_schema_string(struct weir_json_schema_compiler *c, uint32_t node);
int weir_json_schema_number(struct weir_json_schema_compiler *c, uint32_t node, bool whole);
/* enum or const, or one of them with `type`. */
int weir_json_schema_literals(struct weir_json_schema_compiler *c, uint32_t node);
/* Is the value of a `type`'s, one or a list? NULL: of any. */
bool weir_json_schema_has_type(yyjson_val *value, yyjson_val *type);
/* Objects whose members come from all schemas of an allOf and from those beside it. */
int weir_json_schema_all_of(struct weir_json_schema_compiler *c, uint32_t node);

static inline yyjson_val *weir_json_schema_at(const struct weir_json_schema_compiler *c,
                                              uint32_t node, const char *keyword)
{
    return yyjson_obj_get(c->nodes[node].schema, keyword);
}

static inline weir_str weir_json_schema_text(yyjson_val *v)
{
    const char *text = yyjson_get_str(v);
    return (weir_str){text, text ? yyjson_get_len(v) : 0};
}
