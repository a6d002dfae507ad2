/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* How schema_check.c says what is wrong: what is there, what is allowed, what was probably meant.
 * Ownership: findings copy their text. Threads: as the findings. Errors: none. */
#include "core/config/schema_internal.h"

enum { WEIR_SCHEMA_QUOTE_BYTES = 60 };

struct weir_schema_voice {
    struct weir_findings *findings;
    unsigned n_secret; /* nested rules with writeOnly: their values must not be shown */
};

/* The value, quoted and cut, for "not ..." at the end of a sentence. */
const char *weir__schema_quote(const struct weir_schema_voice *v, const struct weir_doc_node *node,
                               char out[WEIR_SCHEMA_QUOTE_BYTES]);
void weir__schema_complain_type(const struct weir_schema_voice *v,
                                const struct weir_schema_rule *rule,
                                const struct weir_doc_node *node);
/* `choices` is the list of an enum. */
void weir__schema_complain_choice(const struct weir_schema_voice *v,
                                  const struct weir_doc_node *choices,
                                  const struct weir_doc_node *node);
void weir__schema_complain_unknown_key(const struct weir_schema_voice *v,
                                       const struct weir_schema_rule *rule,
                                       const struct weir_doc_node *node);
/* "WHAT form, form or form": forms by their descriptions or types. */
void weir__schema_complain_forms(const struct weir_schema_voice *v,
                                 const struct weir_schema_list *forms,
                                 const struct weir_doc_node *node, const char *what);
