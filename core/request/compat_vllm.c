/* SPDX-License-Identifier: Apache-2.0 */
#include "compat_vllm.h"

#include <stdlib.h>

#include "core/request/request.h"

enum family {
    RUNNING,
    WAITING,
    KV_USAGE,
    PREEMPTIONS,
    PREFIX_QUERIES,
    PREFIX_HITS,
    PROMPT_TOKENS,
    GENERATION_TOKENS,
    SUCCESS,
    FIRST_TOKEN,
    END_TO_END,
    QUEUE_TIME,
    FAMILY_COUNT
};

struct weir_vllm_names {
    struct weir_metric_family *families[FAMILY_COUNT];
};

static const double first_token_buckets[] = {.001, .005, .01, .02, .04, .06, .08, .1,
                                             .25,  .5,   .75, 1,   2.5, 5,   7.5, 10,
                                             20,   40,   80,  160, 640, 2560};
static const double request_buckets[] = {.3, .5, .8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                                         30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680};

#define BY_MODEL .labels = {"model_name"}

static const struct weir_metric_spec specs[FAMILY_COUNT] = {
    [RUNNING] = {WEIR_METRICS_GAUGE, "vllm:num_requests_running", "Requests in the batch.",
                 BY_MODEL},
    [WAITING] = {WEIR_METRICS_GAUGE, "vllm:num_requests_waiting", "Requests in the queue.",
                 BY_MODEL},
    [KV_USAGE] = {WEIR_METRICS_GAUGE, "vllm:kv_cache_usage_perc", "Used KV pages, 1 is all.",
                  BY_MODEL},
    [PREEMPTIONS] = {WEIR_METRICS_COUNTER, "vllm:num_preemptions_total", "Preemptions.", BY_MODEL},
    [PREFIX_QUERIES] = {WEIR_METRICS_COUNTER, "vllm:prefix_cache_queries_total",
                        "Prompt tokens looked up in the prefix cache.", BY_MODEL},
    [PREFIX_HITS] = {WEIR_METRICS_COUNTER, "vllm:prefix_cache_hits_total",
                     "Prompt tokens found in the prefix cache.", BY_MODEL},
    [PROMPT_TOKENS] = {WEIR_METRICS_COUNTER, "vllm:prompt_tokens_total", "Prompt tokens.",
                       BY_MODEL},
    [GENERATION_TOKENS] = {WEIR_METRICS_COUNTER, "vllm:generation_tokens_total",
                           "Completion tokens.", BY_MODEL},
    [SUCCESS] = {WEIR_METRICS_COUNTER, "vllm:request_success_total", "Requests that ended well.",
                 .labels = {"model_name", "finished_reason"}},
    [FIRST_TOKEN] = {WEIR_METRICS_HISTOGRAM, "vllm:time_to_first_token_seconds",
                     "Time to the first token.", BY_MODEL,
                     WEIR_METRICS_BUCKETS(first_token_buckets)},
    [END_TO_END] = {WEIR_METRICS_HISTOGRAM, "vllm:e2e_request_latency_seconds", "Whole request.",
                    BY_MODEL, WEIR_METRICS_BUCKETS(request_buckets)},
    [QUEUE_TIME] = {WEIR_METRICS_HISTOGRAM, "vllm:request_queue_time_seconds",
                    "Waiting for a place.", BY_MODEL, WEIR_METRICS_BUCKETS(request_buckets)},
};

int weir_vllm_names_create(struct weir_metrics *metrics, struct weir_vllm_names **ret_names,
                           struct weir_error *err)
{
    struct weir_vllm_names *v = calloc(1, sizeof(*v));
    if (!v) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    for (int i = 0; i < FAMILY_COUNT; i++) {
        v->families[i] = weir_metrics_define(metrics, &specs[i], err);
        if (!v->families[i]) {
            free(v);
            return WEIR_E_ARG;
        }
    }
    *ret_names = v;
    return 0;
}

void weir_vllm_names_destroy(struct weir_vllm_names *v)
{
    free(v);
}

static struct weir_metric_series *of(struct weir_vllm_names *v, enum family family,
                                     const char *model)
{
    return WEIR_METRIC_SERIES(v->families[family], model);
}

void weir_vllm_names_collect(struct weir_vllm_names *v, const char *model,
                             const weir_target_status *sum, const struct weir_queue_stats *queue)
{
    weir_metric_set(of(v, RUNNING, model), sum->running);
    weir_metric_set(of(v, WAITING, model), queue->waiting);
    weir_metric_set(of(v, KV_USAGE, model),
                    sum->pages_total ? (double)sum->pages_used / sum->pages_total : 0);
    weir_metric_set_total(of(v, PREEMPTIONS, model), (double)sum->preemptions);
    weir_metric_set_total(of(v, PREFIX_QUERIES, model), (double)sum->prefix_tokens_asked);
    weir_metric_set_total(of(v, PREFIX_HITS, model), (double)sum->prefix_tokens_hit);
}

void weir_vllm_names_count(struct weir_vllm_names *v, const struct weir_request *r,
                           uint64_t total_us)
{
    const char *model = weir_model_name(r->model);
    weir_metric_add(of(v, PROMPT_TOKENS, model), (double)r->outcome.prompt_tokens);
    weir_metric_add(of(v, GENERATION_TOKENS, model), (double)r->outcome.completion_tokens);
    weir_metric_observe(of(v, END_TO_END, model), (double)total_us / 1e6);
    if (r->granted_us) {
        weir_metric_observe(of(v, QUEUE_TIME, model),
                            (double)(r->granted_us - r->enqueued_us) / 1e6);
    }
    if (r->first_chunk_us) {
        weir_metric_observe(of(v, FIRST_TOKEN, model),
                            (double)(r->first_chunk_us - r->arrived_us) / 1e6);
    }
    if (r->finish == WEIR_FINISH_STOP || r->finish == WEIR_FINISH_LENGTH ||
        r->finish == WEIR_FINISH_TOOL_CALLS) {
        weir_metric_add(WEIR_METRIC_SERIES(v->families[SUCCESS], model,
                                           r->finish == WEIR_FINISH_LENGTH ? "length" : "stop"),
                        1);
    }
}
