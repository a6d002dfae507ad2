/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What is counted and timed of requests, by model and class, and the access log line.
 *
 * Ownership: the observer borrows the registry; families live as long as the registry.
 * Threads: create, destroy [main-thread]; the rest [any-thread].
 * Invariant: received = ended + in progress: a request is counted once when it begins and once when
 * it ends, on every path. */
#include <stdbool.h>

#include "core/metrics/metrics.h"

struct weir_observer;
struct weir_request;
struct weir_model;
struct weir_models;

/* Series of one model and class, looked up once per request. */
struct weir_model_series {
    struct weir_metric_series *first_token_s, *between_tokens_s, *queue_s, *total_s;
    struct weir_metric_series *prompt_tokens, *completion_tokens, *cached_tokens;
    struct weir_metric_series *served; /* requests that ended with 200 */
};

/* with_vllm_names: metrics.compat has "vllm". */
int weir_observer_create(struct weir_metrics *metrics, bool with_vllm_names,
                         struct weir_observer **ret_observer, struct weir_error *err);
void weir_observer_destroy(struct weir_observer *o);
/* Gauges of these models are brought up to date before each scrape; NULL to stop. */
void weir_observer_set_models(struct weir_observer *o, const struct weir_models *models);

void weir_observe_received(
    struct weir_observer *o); /* once per request that observe_request counts */
void weir_observe_model(struct weir_observer *o, struct weir_request *r);   /* its model is known */
void weir_observe_granted(struct weir_observer *o, struct weir_request *r); /* left the queue */
void weir_observe_token(struct weir_observer *o, struct weir_request *r, uint64_t now_us);
void weir_observe_rejected(struct weir_observer *o, struct weir_request *r, const char *reason);
/* Its target failed, and it is tried again; or it is not, with reason "no_budget". */
void weir_observe_retry(struct weir_observer *o, struct weir_request *r, const char *reason);
void weir_observe_request(struct weir_observer *o, struct weir_request *r); /* it ended */
