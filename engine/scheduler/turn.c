/* SPDX-License-Identifier: Apache-2.0 */
/* Whose turn it is. The first of each class is found by share, priority and arrival; age counts
 * only between these, so that a tenant that has heaped up old sequences does not pass others by it.
 */
#include "scheduler_internal.h"

enum { N_CLASSES = 3 };

uint64_t weir_turn_begin(struct weir_scheduler *s)
{
    return ++s->n_looks;
}

struct weir_sequence *weir_turn_next(struct weir_scheduler *s, uint64_t look,
                                     bool (*is_wanted)(const struct weir_sequence *q),
                                     uint64_t now_us)
{
    struct weir_sequence *first[N_CLASSES] = {NULL};
    for (uint32_t i = 0; i < s->n_live; i++) {
        struct weir_sequence *q = s->live[i];
        uint32_t c = q->job->class_rank < N_CLASSES ? q->job->class_rank : N_CLASSES - 1;
        if (q->looked_at != look && is_wanted(q) &&
            (!first[c] || weir_sequence_turn(q, first[c]) < 0)) {
            first[c] = q;
        }
    }
    struct weir_sequence *best = NULL;
    uint32_t best_class = 0;
    for (uint32_t c = 0; c < N_CLASSES; c++) {
        uint32_t lifted = first[c] ? weir_sequence_class(first[c], now_us) : 0;
        if (first[c] && (!best || lifted < best_class ||
                         (lifted == best_class && weir_sequence_turn(first[c], best) < 0))) {
            best = first[c];
            best_class = lifted;
        }
    }
    if (best) {
        best->looked_at = look;
    }
    return best;
}
