/* SPDX-License-Identifier: Apache-2.0 */
#include "observe.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "core/request/compat_vllm.h"
#include "core/request/device_figures.h"
#include "core/request/observe_targets.h"
#include "core/request/request.h"
#include "core/request/routes.h"
#include "core/server/worker.h"

enum { MAX_MODELS = 64 };

enum family {
    FIRST_TOKEN,
    BETWEEN_TOKENS,
    QUEUE,
    TOTAL,
    RECEIVED,
    REQUESTS,
    REJECTED,
    RETRIES,
    RUNNING,
    WAITING,
    QUEUE_LIMIT,
    QUEUE_WAITING,
    QUEUE_WAIT,
    PROMPT_TOKENS,
    COMPLETION_TOKENS,
    CACHED_TOKENS,
    PREFIX_ASKED,
    PREFIX_HIT,
    STEPS,
    STEP_TOKENS,
    STEP_SECONDS,
    BATCH,
    PREEMPTIONS,
    CANCELLED,
    KV_PAGES,
    MEMORY,
    MODEL_READY,
    RESIDENT,
    FAMILY_COUNT
};

struct known_model {
    const struct weir_model *model;
    struct weir_model_series by_class[WEIR_CLASS_COUNT];
};

struct weir_observer {
    struct weir_metrics *metrics;
    struct weir_metric_family *families[FAMILY_COUNT];
    struct weir_metric_series *received; /* NULL: there was no memory for it */
    struct weir_vllm_names *vllm;        /* NULL: not asked for */
    struct weir_device_figures *device_figures;
    struct weir_target_metrics *targets;
    const struct weir_models *models;
    struct known_model known[MAX_MODELS]; /* filled by set_models, before requests run */
    uint32_t n_known;
};

#define BY_MODEL .labels = {"model"}
#define BY_CLASS .labels = {"model", "class"}

static const struct weir_metric_spec specs[FAMILY_COUNT] = {
    [FIRST_TOKEN] = {WEIR_METRICS_HISTOGRAM, "weir_time_to_first_token_seconds",
                     "From arrival to the first token given to the client's socket.", BY_CLASS,
                     WEIR_METRICS_BUCKETS(weir_metrics_first_token_seconds)},
    [BETWEEN_TOKENS] = {WEIR_METRICS_HISTOGRAM, "weir_inter_token_seconds",
                        "Between two pieces of output of one request.", BY_CLASS,
                        WEIR_METRICS_BUCKETS(weir_metrics_gap_seconds)},
    [QUEUE] = {WEIR_METRICS_HISTOGRAM, "weir_queue_seconds", "Waiting for a place.", BY_CLASS,
               WEIR_METRICS_BUCKETS(weir_metrics_first_token_seconds)},
    [TOTAL] = {WEIR_METRICS_HISTOGRAM, "weir_request_seconds", "From arrival to the end.", BY_CLASS,
               WEIR_METRICS_BUCKETS(weir_metrics_seconds)},
    [RECEIVED] = {WEIR_METRICS_COUNTER, "weir_requests_received_total",
                  "Requests that began; less weir_requests_total: those in progress.",
                  .labels = {NULL}},
    [REQUESTS] = {WEIR_METRICS_COUNTER, "weir_requests_total", "Requests that ended.",
                  .labels = {"model", "class", "status"}},
    [REJECTED] = {WEIR_METRICS_COUNTER, "weir_requests_rejected_total",
                  "Requests refused by the queue.", .labels = {"model", "reason"}},
    [RETRIES] = {WEIR_METRICS_COUNTER, "weir_target_retries_total",
                 "Requests tried again after this target failed them, by reason; no_budget: not "
                 "tried again.",
                 .labels = {"model", "target", "reason"}},
    [RUNNING] = {WEIR_METRICS_GAUGE, "weir_requests_running", "Requests that hold a place.",
                 BY_MODEL},
    [WAITING] = {WEIR_METRICS_GAUGE, "weir_requests_waiting", "Requests in the queue.", BY_MODEL},
    [QUEUE_LIMIT] = {WEIR_METRICS_GAUGE, "weir_queue_size", "Requests that may wait.", BY_MODEL},
    [QUEUE_WAITING] = {WEIR_METRICS_GAUGE, "weir_queue_waiting", "Requests in the queue.",
                       BY_CLASS},
    [QUEUE_WAIT] = {WEIR_METRICS_GAUGE, "weir_queue_predicted_wait_seconds",
                    "How long one more request would wait behind all others.", BY_CLASS},
    [PROMPT_TOKENS] = {WEIR_METRICS_COUNTER, "weir_prompt_tokens_total", "Prompt tokens.",
                       BY_CLASS},
    [COMPLETION_TOKENS] = {WEIR_METRICS_COUNTER, "weir_completion_tokens_total",
                           "Completion tokens.", BY_CLASS},
    [CACHED_TOKENS] = {WEIR_METRICS_COUNTER, "weir_cached_tokens_total",
                       "Prompt tokens served from the prefix cache.", BY_CLASS},
    [PREFIX_ASKED] = {WEIR_METRICS_COUNTER, "weir_prefix_cache_queried_tokens_total",
                      "Prompt tokens looked up in the prefix cache.", BY_MODEL},
    [PREFIX_HIT] = {WEIR_METRICS_COUNTER, "weir_prefix_cache_hit_tokens_total",
                    "Prompt tokens found in the prefix cache.", BY_MODEL},
    [STEPS] = {WEIR_METRICS_COUNTER, "weir_steps_total", "Forward passes.", BY_MODEL},
    [STEP_TOKENS] = {WEIR_METRICS_COUNTER, "weir_step_tokens_total", "Tokens in all steps.",
                     BY_MODEL},
    [STEP_SECONDS] = {WEIR_METRICS_GAUGE, "weir_step_seconds",
                      "Moving average of a step's duration.", BY_MODEL},
    [BATCH] = {WEIR_METRICS_GAUGE, "weir_batch_sequences", "Sequences in the running batch.",
               BY_MODEL},
    [PREEMPTIONS] = {WEIR_METRICS_COUNTER, "weir_preemptions_total",
                     "Sequences that gave their pages up and were computed again.", BY_MODEL},
    [CANCELLED] = {WEIR_METRICS_COUNTER, "weir_cancelled_total", "Sequences that were cancelled.",
                   BY_MODEL},
    [KV_PAGES] = {WEIR_METRICS_GAUGE, "weir_kv_pages", "KV pages of 16 tokens.",
                  .labels = {"model", "state"}},
    [MEMORY] = {WEIR_METRICS_GAUGE, "weir_memory_bytes", "Memory by subsystem.",
                .labels = {"model", "subsystem"}},
    [MODEL_READY] = {WEIR_METRICS_GAUGE, "weir_model_ready",
                     "1 when a target of the model can run.", BY_MODEL},
    [RESIDENT] = {WEIR_METRICS_GAUGE, "weir_process_resident_bytes", "Resident set size.",
                  .labels = {NULL}},
};

static double resident_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f) {
        return 0;
    }
    long total = 0, resident = 0;
    int n = fscanf(f, "%ld %ld", &total, &resident);
    (void)fclose(f);
    return n == 2 ? (double)resident * (double)sysconf(_SC_PAGESIZE) : 0;
}

static void set_gauge(struct weir_observer *o, enum family family, const char *model, double value)
{
    weir_metric_set(WEIR_METRIC_SERIES(o->families[family], model), value);
}

static void set_total(struct weir_observer *o, enum family family, const char *model, double value)
{
    weir_metric_set_total(WEIR_METRIC_SERIES(o->families[family], model), value);
}

static void add_status(weir_target_status *sum, const weir_target_status *s)
{
    sum->running += s->running;
    sum->pages_total += s->pages_total;
    sum->pages_used += s->pages_used;
    sum->pages_cached += s->pages_cached;
    sum->steps += s->steps;
    sum->step_tokens += s->step_tokens;
    sum->prefix_tokens_asked += s->prefix_tokens_asked;
    sum->prefix_tokens_hit += s->prefix_tokens_hit;
    sum->preemptions += s->preemptions;
    sum->cancelled += s->cancelled;
    sum->weight_bytes += s->weight_bytes;
    sum->kv_bytes += s->kv_bytes;
    sum->scratch_bytes += s->scratch_bytes;
    sum->step_us = s->step_us > sum->step_us ? s->step_us : sum->step_us;
}

static void collect_queue(struct weir_observer *o, struct weir_model *m,
                          const struct weir_queue_stats *queue)
{
    const char *name = weir_model_name(m);
    set_gauge(o, QUEUE_LIMIT, name, queue->limit);
    for (uint32_t c = 0; c < WEIR_CLASS_COUNT; c++) {
        const char *class_name = weir_class_name((enum weir_class)c);
        struct weir_queue_outlook outlook;
        weir_queue_look(weir_model_queue(m), 0, 0, c, &outlook);
        weir_metric_set(WEIR_METRIC_SERIES(o->families[QUEUE_WAITING], name, class_name),
                        queue->waiting_by_class[c]);
        weir_metric_set(WEIR_METRIC_SERIES(o->families[QUEUE_WAIT], name, class_name),
                        (double)outlook.class_wait_us / 1e6);
    }
}

static void collect_model(struct weir_observer *o, struct weir_model *m)
{
    const char *name = weir_model_name(m);
    weir_target_status sum = {.struct_size = sizeof(sum)};
    for (uint32_t i = 0; i < weir_model_n_targets(m); i++) {
        weir_target_status status;
        weir_target_read_status(weir_model_target(m, i), &status);
        add_status(&sum, &status);
    }
    weir_device_figures_collect(o->device_figures, m);
    struct weir_queue_stats queue;
    weir_queue_stats(weir_model_queue(m), &queue);

    if (o->vllm) {
        weir_vllm_names_collect(o->vllm, name, &sum, &queue);
    }
    set_gauge(o, RUNNING, name, queue.running);
    set_gauge(o, WAITING, name, queue.waiting);
    set_gauge(o, BATCH, name, sum.running);
    set_gauge(o, STEP_SECONDS, name, (double)sum.step_us / 1e6);
    set_gauge(o, MODEL_READY, name, weir_model_state(m) == WEIR_TARGET_READY);
    set_total(o, STEPS, name, (double)sum.steps);
    set_total(o, STEP_TOKENS, name, (double)sum.step_tokens);
    set_total(o, PREFIX_ASKED, name, (double)sum.prefix_tokens_asked);
    set_total(o, PREFIX_HIT, name, (double)sum.prefix_tokens_hit);
    set_total(o, PREEMPTIONS, name, (double)sum.preemptions);
    set_total(o, CANCELLED, name, (double)sum.cancelled);

    collect_queue(o, m, &queue);
    const struct {
        const char *state;
        uint32_t n;
    } pages[] = {{"used", sum.pages_used},
                 {"cached", sum.pages_cached},
                 {"free", sum.pages_total - sum.pages_used - sum.pages_cached}};
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        weir_metric_set(WEIR_METRIC_SERIES(o->families[KV_PAGES], name, pages[i].state),
                        pages[i].n);
    }
    const struct {
        const char *subsystem;
        uint64_t bytes;
    } memory[] = {
        {"weights", sum.weight_bytes}, {"kv", sum.kv_bytes}, {"scratch", sum.scratch_bytes}};
    for (size_t i = 0; i < sizeof(memory) / sizeof(memory[0]); i++) {
        weir_metric_set(WEIR_METRIC_SERIES(o->families[MEMORY], name, memory[i].subsystem),
                        (double)memory[i].bytes);
    }
}

static void collect(void *arg)
{
    struct weir_observer *o = arg;
    weir_metric_set(weir_metric_series(o->families[RESIDENT], NULL, 0), resident_bytes());
    for (uint32_t i = 0; o->models && i < o->models->n; i++) {
        collect_model(o, o->models->list[i]);
        weir_target_metrics_collect(o->targets, o->models->list[i]);
    }
}

int weir_observer_create(struct weir_metrics *metrics, bool with_vllm_names,
                         struct weir_observer **ret_observer, struct weir_error *err)
{
    struct weir_observer *o = calloc(1, sizeof(*o));
    if (!o) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    o->metrics = metrics;
    for (int i = 0; i < FAMILY_COUNT; i++) {
        o->families[i] = weir_metrics_define(metrics, &specs[i], err);
        if (!o->families[i]) {
            free(o);
            return WEIR_E_ARG;
        }
    }
    o->received = weir_metric_series(o->families[RECEIVED], NULL, 0);
    int r = weir_device_figures_create(metrics, &o->device_figures, err);
    if (r < 0) {
        free(o);
        return r;
    }
    r = with_vllm_names ? weir_vllm_names_create(metrics, &o->vllm, err) : 0;
    r = r < 0 ? r : weir_target_metrics_create(metrics, &o->targets, err);
    if (r == 0 && weir_metrics_add_collector(metrics, collect, o) < 0) {
        r = weir_error_set(err, WEIR_E_NOMEM, "too many metric collectors");
    }
    if (r < 0) {
        weir_target_metrics_destroy(o->targets);
        weir_vllm_names_destroy(o->vllm);
        weir_device_figures_destroy(o->device_figures);
        free(o);
        return r;
    }
    *ret_observer = o;
    return 0;
}

void weir_observer_destroy(struct weir_observer *o)
{
    if (!o) {
        return;
    }
    weir_metrics_remove_collector(o->metrics, collect, o);
    weir_target_metrics_destroy(o->targets);
    weir_vllm_names_destroy(o->vllm);
    weir_device_figures_destroy(o->device_figures);
    free(o);
}

static struct weir_metric_series *series(struct weir_observer *o, enum family family,
                                         const char *model, const char *class_name)
{
    return WEIR_METRIC_SERIES(o->families[family], model, class_name);
}

static void know_model(struct weir_observer *o, const struct weir_model *model)
{
    if (o->n_known == MAX_MODELS) {
        return; /* further models are served, but not timed */
    }
    struct known_model *k = &o->known[o->n_known++];
    k->model = model;
    const char *name = weir_model_name(model);
    for (uint32_t c = 0; c < WEIR_CLASS_COUNT; c++) {
        const char *class_name = weir_class_name((enum weir_class)c);
        k->by_class[c] = (struct weir_model_series){
            .first_token_s = series(o, FIRST_TOKEN, name, class_name),
            .between_tokens_s = series(o, BETWEEN_TOKENS, name, class_name),
            .queue_s = series(o, QUEUE, name, class_name),
            .total_s = series(o, TOTAL, name, class_name),
            .prompt_tokens = series(o, PROMPT_TOKENS, name, class_name),
            .completion_tokens = series(o, COMPLETION_TOKENS, name, class_name),
            .cached_tokens = series(o, CACHED_TOKENS, name, class_name),
            .served = WEIR_METRIC_SERIES(o->families[REQUESTS], name, class_name, "200"),
        };
    }
}

void weir_observer_set_models(struct weir_observer *o, const struct weir_models *models)
{
    o->models = models;
    o->n_known = 0;
    for (uint32_t i = 0; models && i < models->n; i++) {
        know_model(o, models->list[i]);
    }
}

void weir_observe_received(struct weir_observer *o)
{
    weir_metric_add(o->received, 1);
}

void weir_observe_model(struct weir_observer *o, struct weir_request *r)
{
    for (uint32_t i = 0; i < o->n_known; i++) {
        if (o->known[i].model == r->model) {
            r->series = &o->known[i].by_class[r->class_rank];
            return;
        }
    }
}

void weir_observe_granted(struct weir_observer *o, struct weir_request *r)
{
    (void)o;
    if (r->series) {
        weir_metric_observe(r->series->queue_s, (double)(r->granted_us - r->enqueued_us) / 1e6);
    }
}

void weir_observe_token(struct weir_observer *o, struct weir_request *r, uint64_t now_us)
{
    (void)o;
    if (!r->series) {
        return;
    }
    if (!r->first_chunk_us) {
        weir_metric_observe(r->series->first_token_s, (double)(now_us - r->arrived_us) / 1e6);
    } else {
        weir_metric_observe(r->series->between_tokens_s, (double)(now_us - r->last_chunk_us) / 1e6);
    }
}

void weir_observe_rejected(struct weir_observer *o, struct weir_request *r, const char *reason)
{
    weir_metric_add(WEIR_METRIC_SERIES(o->families[REJECTED], weir_model_name(r->model), reason),
                    1);
}

void weir_observe_retry(struct weir_observer *o, struct weir_request *r, const char *reason)
{
    weir_metric_add(
        WEIR_METRIC_SERIES(o->families[RETRIES], weir_model_name(r->model),
                           weir_target_name(weir_model_target(r->model, r->entry.target)), reason),
        1);
}

static void log_access(const struct weir_request *r, uint64_t total_us)
{
    if (!weir_log_enabled(WEIR_LOG_INFO)) {
        return;
    }
    weir_log(WEIR_LOG_INFO, "access", r->id,
             "%.*s %.*s %u model=%s tenant=%.*s class=%s prompt=%llu cached=%llu completion=%llu "
             "target=%s retries=%u queue_ms=%.1f ttft_ms=%.1f total_ms=%.1f finish=%s%s%s%s%.*s",
             (int)r->method.n, r->method.p, (int)(r->path.n < 128 ? r->path.n : 128), r->path.p,
             r->status, r->model ? weir_model_name(r->model) : "-", (int)r->tenant.n,
             r->tenant.p ? r->tenant.p : "", weir_class_name((enum weir_class)r->class_rank),
             (unsigned long long)r->outcome.prompt_tokens,
             (unsigned long long)r->outcome.cached_tokens,
             (unsigned long long)r->outcome.completion_tokens,
             r->target ? weir_target_name(r->target) : "-", r->n_retries,
             r->granted_us ? (double)(r->granted_us - r->enqueued_us) / 1e3 : 0.0,
             r->first_chunk_us ? (double)(r->first_chunk_us - r->arrived_us) / 1e3 : 0.0,
             (double)total_us / 1e3, r->finish ? weir_finish_name(r->finish) : "-",
             r->error_code ? " error=" : "", r->error_code ? r->error_code : "",
             r->tags.n ? " tags=" : "", (int)r->tags.n, r->tags.p ? r->tags.p : "");
}

static void count_ended(struct weir_observer *o, const struct weir_request *r)
{
    if (r->series && r->status == 200) {
        weir_metric_add(r->series->served, 1);
        return;
    }
    const char status[] = {(char)('0' + r->status / 100 % 10), (char)('0' + r->status / 10 % 10),
                           (char)('0' + r->status % 10), '\0'};
    weir_metric_add(WEIR_METRIC_SERIES(o->families[REQUESTS],
                                       r->model ? weir_model_name(r->model) : "none",
                                       weir_class_name((enum weir_class)r->class_rank), status),
                    1);
}

void weir_observe_request(struct weir_observer *o, struct weir_request *r)
{
    if (!r->route || !r->route->phases) {
        return; /* probes and scrapes would drown the rest */
    }
    uint64_t total_us = weir_worker_now_us(r->worker) - r->arrived_us;
    count_ended(o, r);
    if (r->series) {
        weir_metric_observe(r->series->total_s, (double)total_us / 1e6);
        weir_metric_add(r->series->prompt_tokens, (double)r->outcome.prompt_tokens);
        weir_metric_add(r->series->completion_tokens, (double)r->outcome.completion_tokens);
        weir_metric_add(r->series->cached_tokens, (double)r->outcome.cached_tokens);
    }
    if (o->vllm && r->model) {
        weir_vllm_names_count(o->vllm, r, total_us);
    }
    log_access(r, total_us);
}
