/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A model as clients name it: its queue and the targets that can run it.
 *
 * Ownership: the model owns its targets and its queue. Names are copied.
 * Threads: create, add_target, destroy [main-thread]; the rest [any-thread].
 * Invariants: a target has places in the queue while it is ready and its health allows it, as many
 * as it states, fewer while it starts slowly; the queue is closed while no target has any hope. */
#include "core/balance/health.h"
#include "core/balance/regions.h"
#include "core/balance/retry_budget.h"
#include "core/queue/queue.h"
#include "core/target/target.h"

enum { WEIR_MODEL_MAX_TARGETS = WEIR_QUEUE_MAX_TARGETS, WEIR_MODEL_MAX_FALLBACKS = 16 };

struct weir_model;

/* By what requests belong together, the first of these that one has. */
struct weir_affinity {
    const char *header, *cookie; /* NULL: none; borrowed for the model's life */
    bool by_user;
};

struct weir_model_config {
    const char *name;
    uint32_t class_rank; /* enum weir_class, of requests whose tenant has none of its own */
    uint32_t queue_limit;
    uint32_t queue_timeout_ms; /* longest wait for a place */
    uint64_t revision;         /* changes with what the model is made of */
    struct weir_balance_config balance;
    struct weir_health_config health;
    struct weir_regions_config regions;
    uint32_t retry_budget_percent;
    uint32_t hedge_after_ms; /* 0: no second attempts beside a late one */
    struct weir_affinity affinity;
    weir_sampling sampling; /* of requests that leave it out */
    weir_queue_called_fn called;
    void *arg;
};

/* What the model knows of a target beside the target itself. Texts are copied. */
struct weir_target_terms {
    const char *region;   /* NULL: the home region */
    const char *endpoint; /* "host:port" of an upstream; NULL: none */
    uint32_t first_token_ms, between_tokens_ms, total_ms; /* 0: no bound */
    bool is_checked; /* gets nothing before the first good active check (checker.h) */
    bool is_upstream;
};

int weir_model_create(const struct weir_model_config *config, struct weir_model **ret_model);
void weir_model_destroy(struct weir_model *m);
/* Opens a target; config->changed and arg are the model's own. */
int weir_model_add_target(struct weir_model *m, struct weir_target_config *config,
                          const struct weir_target_terms *terms, struct weir_error *err);

/* Models that take its requests when it cannot, in turn. [main-thread], before requests run. */
int weir_model_set_fallbacks(struct weir_model *m, struct weir_model *const *models, uint32_t n);
uint32_t weir_model_n_fallbacks(const struct weir_model *m);
struct weir_model *weir_model_fallback(const struct weir_model *m, uint32_t index);

/* Looks at the targets' states and gives the queue what follows. Targets that say when they change
 * cause it by themselves; a stall is seen by looking only, so somebody calls this now and then. */
void weir_model_refresh(struct weir_model *m);

/* From now on changes of the targets' states are logged. */
void weir_model_watch(struct weir_model *m);

const char *weir_model_name(const struct weir_model *m);
weir_str weir_model_name_str(const struct weir_model *m); /* the same, NUL-ended */
uint32_t weir_model_class_rank(const struct weir_model *m);
uint32_t weir_model_queue_timeout_ms(const struct weir_model *m);
uint32_t weir_model_hedge_after_ms(const struct weir_model *m);
const weir_sampling *weir_model_sampling(const struct weir_model *m);
uint64_t weir_model_revision(const struct weir_model *m);
uint64_t weir_model_created_s(const struct weir_model *m);
struct weir_queue *weir_model_queue(struct weir_model *m);
uint32_t weir_model_n_targets(const struct weir_model *m);
struct weir_target *weir_model_target(struct weir_model *m, uint32_t index);

/* Where the request should run; NULL: nowhere now. Where it then runs is decided when it is
 * granted. `ask` and ret_index may be NULL. */
struct weir_target *weir_model_choose(struct weir_model *m, const struct weir_balance_ask *ask,
                                      uint64_t now_us, uint32_t *ret_index);
/* How often choose() was asked: is there somebody who wants the model? */
uint64_t weir_model_n_asked(const struct weir_model *m);
const struct weir_affinity *weir_model_affinity(const struct weir_model *m);
struct weir_balance *weir_model_balance(struct weir_model *m);
struct weir_health *weir_model_health(struct weir_model *m);
struct weir_retry_budget *weir_model_retry_budget(struct weir_model *m);
const struct weir_target_terms *weir_model_terms(const struct weir_model *m, uint32_t index);
/* The target with that endpoint or name; WEIR_BALANCE_NONE. */
uint32_t weir_model_find_target(const struct weir_model *m, weir_str endpoint);
/* How a request of the target went; the first token's time where it had one (0: none). */
void weir_model_report(struct weir_model *m, uint32_t index, bool is_good, uint64_t ttft_us,
                       uint64_t now_us);
/* Every target is an upstream: that it is away says nothing of this daemon. */
bool weir_model_is_remote(const struct weir_model *m);
/* READY when one target is; else the best that can be said of it. */
uint32_t weir_model_state(struct weir_model *m);

/* The models of one configuration. */
struct weir_models {
    struct weir_model **list; /* [n] */
    uint32_t n;
};
/* By name; the only model when the name is empty; NULL when unknown. */
struct weir_model *weir_models_find(const struct weir_models *models, weir_str name);
