/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A YAML document as an immutable tree that remembers where everything stood.
 *
 * Why: every later complaint (schema, rules, plugins) names file, line and column.
 * One document, UTF-8, the core schema of YAML 1.2. Refused with a position: duplicate keys, keys
 * that are not scalars, anchors and aliases (no expansion bombs), tags, NUL characters, infinity,
 * and whatever passes the limits below. JSON is YAML, so JSON texts may be read too.
 * Ownership: the document owns nodes and text until destroy. Threads: any, once built.
 * Errors: WEIR_E_FORMAT after adding to `findings`; WEIR_E_IO and WEIR_E_NOMEM likewise.
 * Invariant: no node is deeper than WEIR_DOC_MAX_DEPTH; string text holds no NUL. */
#include <stdbool.h>

#include "core/config/findings.h"

enum {
    WEIR_DOC_MAX_BYTES = 1024 * 1024,
    WEIR_DOC_MAX_DEPTH = 32,
    WEIR_DOC_MAX_NODES = 100000,
};

enum weir_doc_type {
    WEIR_DOC_NULL,
    WEIR_DOC_BOOL,
    WEIR_DOC_INT,
    WEIR_DOC_FLOAT,
    WEIR_DOC_STRING,
    WEIR_DOC_LIST,
    WEIR_DOC_MAP,
};

struct weir_doc_node {
    enum weir_doc_type type;
    bool quoted;                 /* a scalar in quotes or a block: always a string */
    bool secret;                 /* came from ${env:…} or ${file:…}: not to be shown */
    struct weir_place place;     /* of the value */
    struct weir_place key_place; /* of the key; equals place when the parent is not a map */
    weir_str key;                /* NUL-ended; empty when the parent is not a map */
    weir_str text;               /* a scalar as written, NUL-ended */
    bool boolean;
    int64_t integer;
    double number;                       /* of WEIR_DOC_INT and WEIR_DOC_FLOAT */
    size_t index;                        /* place among its parent's children */
    size_t n_children;                   /* of a list or map */
    const struct weir_doc_node *parent;  /* NULL for the root */
    const struct weir_doc_node *first;   /* children in the order of the file, */
    const struct weir_doc_node *next;    /* linked through next */
    const struct weir_doc_node **by_key; /* [n_children] children of a map, sorted by key */
};

struct weir_doc;

/* Parses text; `findings` gets the mistake when there is one. */
int weir_doc_parse(weir_str text, struct weir_findings *findings, struct weir_doc **ret_doc);
/* Reads and parses the file findings->file; ${env:NAME} and ${file:/path} as whole values are
 * replaced by what they name. */
int weir_doc_read(struct weir_findings *findings, struct weir_doc **ret_doc);
void weir_doc_destroy(struct weir_doc *doc); /* NULL ok */

/* Never NULL; an empty file has a null root. */
const struct weir_doc_node *weir_doc_root(const struct weir_doc *doc);
/* An empty map that stands where `at` stands, with its path; NULL: out of memory. For `- name`
 * where a plugin's configuration was left out. */
const struct weir_doc_node *weir_doc_empty_map(struct weir_doc *doc,
                                               const struct weir_doc_node *at);

/* The map with what it lacks of the children of `defaults`, which keep their places; `map` itself
 * when it lacks nothing; NULL: out of memory. */
const struct weir_doc_node *weir_doc_with_defaults(struct weir_doc *doc,
                                                   const struct weir_doc_node *map,
                                                   const struct weir_doc_node *defaults);

/* The value of a key, or NULL; NULL too when `map` is NULL or not a map. O(log n). */
const struct weir_doc_node *weir_doc_get(const struct weir_doc_node *map, weir_str key);
/* The same along a dotted path of plain keys: "server.tls.cert". */
const struct weir_doc_node *weir_doc_find(const struct weir_doc_node *from, const char *path);
bool weir_doc_equal(const struct weir_doc_node *a, const struct weir_doc_node *b);

enum { WEIR_DOC_PATH_BYTES = 400 };
/* Writes "models.big.targets[1].weight" ("document" for the root), cut at the front with "..." when
 * it does not fit; returns out. */
const char *weir_doc_path(const struct weir_doc_node *node, char out[WEIR_DOC_PATH_BYTES]);
/* "a mapping", "a list", "a string", "a whole number", "a number", "true or false", "nothing" */
const char *weir_doc_type_name(enum weir_doc_type type);
/* Adds a finding at the node: at its value, or at its key. `rule` as in weir_findings_add(). */
void weir_doc_complain(struct weir_findings *f, const struct weir_doc_node *node, const char *rule,
                       const char *fmt, ...) WEIR_PRINTF(4, 5);
void weir_doc_complain_key(struct weir_findings *f, const struct weir_doc_node *node,
                           const char *rule, const char *fmt, ...) WEIR_PRINTF(4, 5);
