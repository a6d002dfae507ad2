/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Checks what a schema cannot say: names that must exist, keys that exclude each other.
 * Ownership: findings copy what they keep. Threads: any. Errors: none. */
#include "core/config/doc.h"

/* `root` satisfies the schema. Adds a finding for each mistake. */
void weir_references_check(const struct weir_doc_node *root, struct weir_findings *findings);
/* The part of it for a `tenants:` block (NULL ok), whose names are those of `models` (NULL: none).
 */
void weir_references_check_tenants(const struct weir_doc_node *models,
                                   const struct weir_doc_node *tenants, struct weir_findings *f);
