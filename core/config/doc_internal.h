/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The document's storage, for doc.c and doc_parse.c only. */
#include "core/config/doc.h"

struct weir_doc {
    struct weir_arena arena;
    const struct weir_doc_node *root;
};

/* follow: values like ${env:NAME} are replaced by what they name; only for files of the operator.
 */
int weir__doc_parse(weir_str text, bool follow, struct weir_findings *findings,
                    struct weir_doc **ret_doc);

/* memcmp order, shorter first. */
int weir__doc_key_order(weir_str a, weir_str b);
