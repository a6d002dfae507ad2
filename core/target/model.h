/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A model as clients name it: its queue and the targets that can run it.
 *
 * Ownership: the model owns its targets and its queue. Names are copied.
 * Threads: create, add_target, destroy [main-thread]; the rest [any-thread].
 * Invariants: a target has places in the queue while it is ready, as many as it states; the queue
 * is closed while every target has failed. */
#include "core/queue/queue.h"
#include "core/target/target.h"

enum { WEIR_MODEL_MAX_TARGETS = WEIR_QUEUE_MAX_TARGETS, WEIR_MODEL_MAX_FALLBACKS = 16 };

struct weir_model;

struct weir_model_config {
    const char *name;
    uint32_t class_rank; /* enum weir_class, of requests whose tenant has none of its own */
    uint32_t queue_limit;
    uint32_t queue_timeout_ms; /* longest wait for a place */
    uint64_t revision;         /* changes with what the model is made of */
    weir_queue_called_fn called;
    void *arg;
};

int weir_model_create(const struct weir_model_config *config, struct weir_model **ret_model);
void weir_model_destroy(struct weir_model *m);
/* Opens a target; config->changed and arg are the model's own. */
int weir_model_add_target(struct weir_model *m, struct weir_target_config *config,
                          struct weir_error *err);

/* Models that take its requests when it cannot, in turn. [main-thread], before requests run. */
int weir_model_set_fallbacks(struct weir_model *m, struct weir_model *const *models, uint32_t n);
uint32_t weir_model_n_fallbacks(const struct weir_model *m);
struct weir_model *weir_model_fallback(const struct weir_model *m, uint32_t index);

/* Looks at the targets' states and gives the queue what follows. Targets that say when they change
 * cause it by themselves; a stall is seen by looking only, so somebody calls this now and then. */
void weir_model_refresh(struct weir_model *m);

const char *weir_model_name(const struct weir_model *m);
uint32_t weir_model_class_rank(const struct weir_model *m);
uint32_t weir_model_queue_timeout_ms(const struct weir_model *m);
uint64_t weir_model_revision(const struct weir_model *m);
uint64_t weir_model_created_s(const struct weir_model *m);
struct weir_queue *weir_model_queue(struct weir_model *m);
uint32_t weir_model_n_targets(const struct weir_model *m);
struct weir_target *weir_model_target(struct weir_model *m, uint32_t index);

/* The ready target with the fewest taken places for its weight; NULL: none is ready. Where the
 * request then runs is decided when it is granted. *ret_index: its number (NULL ok). */
struct weir_target *weir_model_choose(struct weir_model *m, uint32_t *ret_index);
/* READY when one target is; else the best that can be said of it. */
uint32_t weir_model_state(struct weir_model *m);

/* The models of one configuration. */
struct weir_models {
    struct weir_model **list; /* [n] */
    uint32_t n;
};
/* By name; the only model when the name is empty; NULL when unknown. */
struct weir_model *weir_models_find(const struct weir_models *models, weir_str name);
