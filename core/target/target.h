/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One place that can run a model: a stream backend, opened, with the tickets of what it runs.
 *
 * Why: the backend speaks in tickets, the core in requests; this joins them, so that a late or
 * wrong ticket reaches nobody. Ownership: create() opens the backend's target, destroy() closes it.
 * A flow is borrowed from begin() until its end was delivered. Threads: create, destroy
 * [main-thread]; begin, submit, cancel, wake [loop-thread]; what the backend calls through the sink
 * [any-thread]. Bound: `max_flows` generations at a time; begin() gives 0 beyond. */
#include "base/error.h"
#include "core/target/flow.h"
#include "weir/backend_stream.h"

struct weir_target;

struct weir_target_config {
    const char *name; /* "smollm2/0" */
    const weir_backend_stream *backend;
    const weir_host *host;
    weir_str config_json;
    /* For targets inside the process, which need more than JSON to open; NULL: backend->open. */
    int (*open)(void *open_arg, const weir_sink *sink, void **ret_impl, struct weir_error *err);
    void *open_arg;
    uint32_t weight;
    uint32_t max_flows;
    struct weir_inbox *const *inboxes; /* [n_inboxes] of all workers, which do not turn yet */
    uint32_t n_inboxes;
    /* The target's state or capacity changed. [any-thread] */
    void (*changed)(void *arg, struct weir_target *target);
    void *arg;
};

int weir_target_create(const struct weir_target_config *config, struct weir_target **ret_target,
                       struct weir_error *err);
void weir_target_destroy(struct weir_target *t);

const char *weir_target_name(const struct weir_target *t);
uint32_t weir_target_weight(const struct weir_target *t);
void weir_target_read_status(struct weir_target *t, weir_target_status *ret_status);

/* Further figures of what runs, such as those of a GPU; calls nothing where there are none. */
void weir_target_each_stat(struct weir_target *t,
                           void (*each)(void *arg, const char *name, double value), void *arg);

int weir_target_prepare(struct weir_target *t, const weir_generation *g,
                        weir_prepared *ret_prepared, weir_refusal *refusal);
void weir_target_discard(struct weir_target *t, void *prepared_state);

/* A ticket for a generation that delivers into `flow`; 0 when max_flows are alive. */
weir_ticket weir_target_begin(struct weir_target *t, struct weir_flow *flow);
/* After begin(), when submit() failed: no end will come. */
void weir_target_forget(struct weir_target *t, weir_ticket ticket);
int weir_target_submit(struct weir_target *t, const weir_generation *g,
                       const weir_prepared *prepared, weir_ticket ticket);
void weir_target_cancel(struct weir_target *t, weir_ticket ticket);
void weir_target_wake(struct weir_target *t, weir_ticket ticket);

/* Does it work on the requests' own loops? */
bool weir_target_is_on_loops(const struct weir_target *t);
/* The loop has no requests any more and ends: true when the target has left it, else the loop must
 * turn and ask again. [loop-thread] */
bool weir_target_loop_end(struct weir_target *t, uint32_t loop);

bool weir_target_has_check(const struct weir_target *t);
/* An active check, waited for; not on a loop's thread. */
int weir_target_check(struct weir_target *t, weir_str path, uint32_t timeout_ms);

/* WEIR_E_UNSUPPORTED when the backend has none. */
int64_t weir_target_tokenize(struct weir_target *t, weir_str text, int add_special, int32_t *out,
                             size_t cap);
int64_t weir_target_detokenize(struct weir_target *t, const int32_t *tokens, size_t n_tokens,
                               char *out, size_t cap);
