/* SPDX-License-Identifier: Apache-2.0 */
#include "constraint.h"

int weir_constraint_init(struct weir_constraint *c, const struct weir_grammar *grammar,
                         uint32_t n_logits, struct weir_arena *arena)
{
    weir_grammar_state_init(&c->state, grammar);
    /* A model may have more logits than its vocabulary has tokens; those stay forbidden. */
    c->mask = weir_arena_array(arena, (n_logits + 31) / 32, sizeof(*c->mask));
    return c->mask ? 0 : WEIR_E_NOMEM;
}
