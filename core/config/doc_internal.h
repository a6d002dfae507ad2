/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The document's storage, for doc.c and doc_parse.c only. */
#include "core/config/doc.h"

struct weir_doc {
    struct weir_arena arena;
    const struct weir_doc_node *root;
};

/* memcmp order, shorter first. */
int weir__doc_key_order(weir_str a, weir_str b);
