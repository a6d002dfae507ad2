/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* vLLM's metric names beside weir's own, for dashboards that know those (`metrics.compat: [vllm]`).
 *
 * Source: vLLM, vllm/v1/metrics/loggers.py; label model_name, vLLM's buckets.
 * Ownership: families live as long as the registry. Threads: as observe.h. */
#include "core/metrics/metrics.h"
#include "weir/backend_stream.h"

struct weir_vllm_names;
struct weir_request;
struct weir_queue_stats;

int weir_vllm_names_create(struct weir_metrics *metrics, struct weir_vllm_names **ret_names,
                           struct weir_error *err);
void weir_vllm_names_destroy(struct weir_vllm_names *v);
/* Before a scrape: what targets and queue of a model say. */
void weir_vllm_names_collect(struct weir_vllm_names *v, const char *model,
                             const weir_target_status *sum, const struct weir_queue_stats *queue);
/* A request of a model has ended. */
void weir_vllm_names_count(struct weir_vllm_names *v, const struct weir_request *r,
                           uint64_t total_us);
