/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Where one choice stands in its grammar, and the mask of what may come next.
 *
 * Ownership: lives in the job's arena; borrows the grammar, which the prompt holds.
 * Threads: the engine's. No allocation after init. */
#include <stdbool.h>

#include "base/arena.h"
#include "engine/grammar/grammar.h"

struct weir_constraint {
    struct weir_grammar_state state;
    uint32_t *mask; /* [ceil(logits / 32)] */
};

int weir_constraint_init(struct weir_constraint *c, const struct weir_grammar *grammar,
                         uint32_t n_logits, struct weir_arena *arena);
