/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Judges a well-formed configuration by the enterprise rules (docs/rules.md).
 *
 * Why: a file can be perfectly runnable and still promise less than the rules ask for; `weir check`
 * and deployments want to know, the daemon runs it anyway.
 * Only blocks that are present are judged; in a present block every required key must be there.
 * Ownership: findings copy what they keep. Threads: any. Errors: none. */
#include "core/config/doc.h"

/* `root` satisfies the schema. Adds a finding with a rule number for each broken rule. */
void weir_rules_judge(const struct weir_doc_node *root, struct weir_findings *findings);
