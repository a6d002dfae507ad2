/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What is left out when too many requests wait: the ladders of `shedding:`, and where each model
 * stands on them, by class.
 *
 * Why: a queue that only grows serves everybody late. Shorter answers, a smaller model, answers
 * from a cache, and at last refusals keep those that are served in time. How: the main loop looks
 * at every queue some times a second. A ladder is climbed at once, as far as the conditions say; it
 * is left one step at a time, each after both conditions of the step have been below RELEASE of
 * their thresholds for `hold`, so that it does not flap. Each move is logged and counted. A request
 * whose tenant holds less than its share, and has nothing waiting, is spared: it is not what the
 * queue is full of. Ownership: models and metrics are borrowed. Threads: tick() [main]; the rest
 * [any]. Bounds: WEIR_SHEDDING_MAX_MODELS models have ladders; those beyond shed nothing. */
#include "core/config/config.h"
#include "core/metrics/metrics.h"
#include "core/target/model.h"

enum { WEIR_SHEDDING_MAX_MODELS = 1000 };

struct weir_shedding;

int weir_shedding_create(const struct weir_models *models, struct weir_metrics *metrics,
                         struct weir_shedding **ret_shedding, struct weir_error *err);
void weir_shedding_destroy(struct weir_shedding *s); /* NULL ok */

void weir_shedding_tick(struct weir_shedding *s, const struct weir_config_shedding *config,
                        uint64_t now_us);

/* What holds now for this model and class. */
struct weir_shed {
    uint32_t max_tokens; /* 0: as asked */
    bool fallback, cached_only, reject;
};
/* True: nothing holds for them, which is known without the ladders. */
bool weir_shedding_is_at_rest(const struct weir_shedding *s, const struct weir_model *model,
                              uint32_t class_rank);
struct weir_shed weir_shedding_of(const struct weir_shedding *s,
                                  const struct weir_config_shedding *config,
                                  const struct weir_model *model, uint32_t class_rank);
/* Counts what was done to a request. */
void weir_shedding_count(struct weir_shedding *s, const struct weir_model *model,
                         uint32_t class_rank, enum weir_shed_action action);

/* One ladder: where it stands after a look at the queue. Plain values, for tests. */
struct weir_shed_position {
    uint32_t level;           /* steps that hold: 0..n_steps */
    uint64_t better_since_us; /* of the last step's conditions; 0: not better */
};
void weir_shed_position_move(struct weir_shed_position *p,
                             const struct weir_config_shed_ladder *ladder, uint64_t hold_us,
                             uint64_t wait_us, double fill, uint64_t now_us);
