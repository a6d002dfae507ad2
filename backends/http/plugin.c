/* SPDX-License-Identifier: Apache-2.0 */
/* Upstream servers as a plugin: its descriptor and the table of weir.backend.stream/1. */
#include <stdio.h>

#include "check.h"
#include "lane.h"
#include "weir/plugin.h"

enum { BYTES_PER_TOKEN = 4, ERROR_BYTES = 512 };

static int stream_open(const weir_host *host, weir_str config_json, const weir_sink *sink,
                       void **target, weir_str *err)
{
    /* The sentence outlives the call, and there is no target to keep it in. */
    static _Thread_local char sentence[ERROR_BYTES];
    struct weir_error error = {0};
    struct weir_upstream *u = NULL;
    int r = weir_upstream_create(host, config_json, sink, &u, &error);
    if (r < 0) {
        (void)snprintf(sentence, sizeof(sentence), "%s", error.message);
        *err = weir_str_from(sentence);
        return r;
    }
    *target = u;
    return 0;
}

static void stream_close(void *target)
{
    weir_upstream_destroy(target);
}

static void stream_status(void *target, weir_target_status *out)
{
    weir_upstream_status(target, out);
}

/* Only the upstream can count exactly; this is for limits and budgets until it has. */
static uint32_t estimate_tokens(const weir_generation *g)
{
    size_t n_bytes = g->kind == WEIR_GENERATION_CHAT        ? g->messages_json.n + g->tools_json.n
                     : g->kind == WEIR_GENERATION_EMBEDDING ? g->input_json.n
                                                            : g->prompt.n;
    size_t n = n_bytes / BYTES_PER_TOKEN + 1 + g->n_prompt_tokens;
    return n < INT32_MAX ? (uint32_t)n : INT32_MAX;
}

static int stream_prepare(void *target, const weir_generation *g, weir_prepared *out,
                          weir_refusal *refusal)
{
    (void)target;
    (void)refusal;
    out->struct_size = sizeof(*out);
    out->prompt_tokens = estimate_tokens(g);
    /* Limits reserve what an answer may have: an embedding has no tokens. */
    out->max_tokens = g->kind == WEIR_GENERATION_EMBEDDING ? 1 : g->max_tokens;
    out->state = NULL;
    return 0;
}

static void stream_discard(void *target, void *prepared_state)
{
    (void)target;
    (void)prepared_state; /* there is none */
}

static int stream_submit(void *target, const weir_generation *g, const weir_prepared *prepared,
                         weir_ticket ticket)
{
    struct weir_upstream *u = target;
    if (!WEIR_HAS(g, is_base64) || g->loop >= u->n_lanes || !u->lanes[g->loop]) {
        return WEIR_E_UNSUPPORTED;
    }
    return weir_upstream_lane_submit(u->lanes[g->loop], g, prepared, ticket);
}

static struct weir_upstream_job *find_job(struct weir_upstream *u, weir_ticket ticket)
{
    uint32_t slot = (uint32_t)ticket;
    struct weir_upstream_job *j = slot < u->sink->max_tickets ? u->jobs[slot] : NULL;
    return j && j->ticket == ticket ? j : NULL;
}

static void stream_cancel(void *target, weir_ticket ticket)
{
    struct weir_upstream *u = target;
    struct weir_upstream_job *j = find_job(u, ticket);
    if (j) {
        atomic_fetch_add_explicit(&u->n_cancelled, 1, memory_order_relaxed);
        weir_upstream_job_cancel(j);
    }
}

static void stream_wake(void *target, weir_ticket ticket)
{
    struct weir_upstream_job *j = find_job(target, ticket);
    if (j) {
        weir_upstream_job_wake(j);
    }
}

static void stream_loop_begin(void *target, uint32_t loop, void *uv_loop)
{
    struct weir_upstream *u = target;
    if (loop < WEIR_UPSTREAM_MAX_LANES &&
        weir_upstream_lane_create(u, uv_loop, &u->lanes[loop]) == 0 && loop >= u->n_lanes) {
        u->n_lanes = loop + 1;
    }
}

static int stream_loop_end(void *target, uint32_t loop)
{
    struct weir_upstream *u = target;
    return loop < u->n_lanes && u->lanes[loop] ? weir_upstream_lane_end(u->lanes[loop]) : 0;
}

static int stream_check(void *target, weir_str path, uint32_t timeout_ms)
{
    return weir_upstream_check(target, path, timeout_ms);
}

static const weir_backend_stream stream_table = {
    .struct_size = sizeof(stream_table),
    .open = stream_open,
    .close = stream_close,
    .status = stream_status,
    .prepare = stream_prepare,
    .discard = stream_discard,
    .submit = stream_submit,
    .cancel = stream_cancel,
    .wake = stream_wake,
    .loop_begin = stream_loop_begin,
    .loop_end = stream_loop_end,
    .check = stream_check,
};

static const void *get_ext(const char *id)
{
    return strcmp(id, WEIR_EXT_BACKEND_STREAM) == 0 ? &stream_table : NULL;
}

static const char *const provides[] = {WEIR_EXT_BACKEND_STREAM, NULL};
static const char *const wants[] = {WEIR_EXT_METRICS, NULL};

static const weir_plugin plugin = {
    WEIR_PLUGIN_HEAD,
    .name = "upstream",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .description = "Runs requests on other servers that speak the OpenAI API",
    .wants = wants,
    .provides = provides,
    .get_ext = get_ext,
};

const weir_plugin *weir_plugin_entry_v1(void)
{
    return &plugin;
}
