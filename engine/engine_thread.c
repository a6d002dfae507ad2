/* SPDX-License-Identifier: Apache-2.0 */
/* The engine thread: load, rounds, and what follows when the device fails. */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "engine_internal.h"

enum {
    MAX_BACKOFF_MS = 60 * 1000,
    RELOADS_BEFORE_SPARE = 3 /* a device that did work may come back */
};

static void set_state(struct weir_engine *e, enum weir_target_state state,
                      const struct weir_error *why)
{
    (void)pthread_mutex_lock(&e->status_lock);
    e->status.state = state;
    if (state != WEIR_TARGET_READY) {
        e->status.running = e->status.waiting = 0;
        e->work_pending = false;
    }
    if (state == WEIR_TARGET_LOADING) {
        e->status.progress = 0;
    }
    e->status.error[0] = '\0';
    if (why) {
        (void)snprintf(e->status.error, sizeof(e->status.error), "%.*s",
                       (int)sizeof(e->status.error) - 1, why->message);
    }
    (void)pthread_mutex_unlock(&e->status_lock);
    e->sink->notify(e->sink);
}

static int on_progress(void *arg, float fraction)
{
    struct weir_engine *e = arg;
    (void)pthread_mutex_lock(&e->status_lock);
    e->status.progress = fraction;
    (void)pthread_mutex_unlock(&e->status_lock);
    return weir_mailbox_is_closing(&e->mailbox);
}

static void describe_model(struct weir_engine *e, const struct weir_loaded_model *m,
                           uint32_t max_batch)
{
    const weir_model_info *info = &m->info;
    (void)pthread_mutex_lock(&e->status_lock);
    weir_target_status *st = &e->status;
    st->progress = 1;
    for (uint32_t rank = 0; rank < sizeof(st->max_sequences) / sizeof(uint32_t); rank++) {
        st->max_sequences[rank] = weir_engine_places(max_batch, rank);
    }
    st->max_extra = max_batch;
    st->weight_bytes = info->weight_bytes;
    st->kv_bytes = info->kv_bytes;
    st->scratch_bytes = info->scratch_bytes;
    st->n_ctx = m->view.n_ctx;
    st->n_vocab = info->n_vocab;
    (void)snprintf(st->device, sizeof(st->device), "%.*s", (int)sizeof(st->device) - 1,
                   info->device);
    (void)snprintf(st->arch, sizeof(st->arch), "%.*s", (int)sizeof(st->arch) - 1, info->arch);
    (void)snprintf(st->quant, sizeof(st->quant), "%.*s", (int)sizeof(st->quant) - 1, info->quant);
    (void)pthread_mutex_unlock(&e->status_lock);
}

/* Called by the scheduler when nothing of a job is left. */
static void on_job_ended(void *arg, struct weir_job *job, const weir_outcome *outcome)
{
    struct weir_engine *e = arg;
    if (weir_mailbox_remove(&e->mailbox, job)) {
        e->sink->finish(e->sink, job->ticket, outcome);
    }
    weir_job_destroy(job);
    e->sink->notify(e->sink);
}

static void publish_model(struct weir_engine *e, struct weir_loaded_model *m)
{
    (void)pthread_rwlock_wrlock(&e->model_lock);
    struct weir_loaded_model *old = e->model;
    e->model = m;
    (void)pthread_rwlock_unlock(&e->model_lock);
    weir_loaded_model_destroy(old);
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* The configuration with the backend that is in use. */
static struct weir_engine_config config_in_use(const struct weir_engine *e)
{
    struct weir_engine_config config = e->config;
    if (e->on_spare) {
        config.backend = config.spare;
        config.host = config.spare_host;
        config.device = 0;
        config.n_devices = 0;
        config.backend_options_json = weir_str_from("{}");
    }
    return config;
}

/* After a failed load: at once where the backend never worked, else when it does not come back.
 * True when the spare backend is to be tried now. */
static bool turn_to_spare(struct weir_engine *e, int rc, const struct weir_error *why)
{
    e->n_load_failures++;
    if (!e->config.spare || e->on_spare || rc == WEIR_E_CANCELLED ||
        (e->has_loaded && e->n_load_failures < RELOADS_BEFORE_SPARE)) {
        return false;
    }
    weir_log(WEIR_LOG_WARN, "model", NULL, "the next best backend takes over: %s", why->message);
    e->on_spare = true;
    e->n_load_failures = 0;
    return true;
}

static int load(struct weir_engine *e, struct weir_error *err)
{
    set_state(e, WEIR_TARGET_LOADING, NULL);
    struct weir_loaded_model *m = NULL;
    const struct weir_engine_config in_use = config_in_use(e);
    int r = weir_loaded_model_create(&in_use, &e->secret, ++e->n_loads, on_progress, e, &m, err);
    if (r < 0) {
        return r;
    }
    e->n_load_failures = 0;
    e->has_loaded = true;
    struct weir_scheduler_config config = {
        .backend = m->backend,
        .model = m->handle,
        .info = &m->info,
        .vocabulary = &m->vocabulary,
        .secret = &e->secret,
        .sink = e->sink,
        .host = e->config.host,
        .max_batch = least(e->config.max_batch, m->info.max_sequences),
        .max_live = weir_engine_max_sequences(e) + WEIR_MAX_CHOICES,
        .max_step_tokens = least(e->config.max_step_tokens, m->info.max_step_tokens),
        .counters = &e->counters,
        .step_state = &e->step_state,
        .job_ended = on_job_ended,
        .arg = e,
    };
    r = weir_scheduler_create(&config, &e->scheduler);
    if (r < 0) {
        weir_loaded_model_destroy(m);
        return weir_error_set(err, r, "the scheduler cannot use this model: %s",
                              weir_error_name(r));
    }
    atomic_store(&e->step_state, WEIR_STEP_NONE);
    describe_model(e, m, config.max_batch);
    publish_model(e, m);
    return 0;
}

static void take_events(struct weir_engine *e, int64_t wait_ms)
{
    struct weir_job *next = NULL;
    for (struct weir_job *job = weir_mailbox_take(&e->mailbox, wait_ms); job; job = next) {
        next = job->taken_next;
        if (job->taken_events & WEIR_EVENT_SUBMIT) {
            weir_scheduler_add(e->scheduler, job);
        }
        if (job->taken_events & WEIR_EVENT_CANCEL) {
            weir_scheduler_cancel(e->scheduler, job);
        } else if (job->taken_events & WEIR_EVENT_WAKE) {
            weir_scheduler_wake(e->scheduler, job);
        }
    }
}

static void publish_status(struct weir_engine *e, bool stepped)
{
    uint64_t now = weir_engine_now_us(e);
    (void)pthread_mutex_lock(&e->status_lock);
    weir_target_status *st = &e->status;
    const struct weir_scheduler_counters *c = &e->counters;
    weir_scheduler_status(e->scheduler, st);
    st->steps = c->steps;
    st->step_tokens = c->step_tokens;
    st->prompt_tokens = c->prompt_tokens;
    st->completion_tokens = c->completion_tokens;
    st->prefix_tokens_asked = c->prefix_tokens_asked;
    st->prefix_tokens_hit = c->prefix_tokens_hit;
    st->preemptions = c->preemptions;
    st->cancelled = c->cancelled;
    if (stepped) {
        st->last_step_us = now;
    }
    if (stepped || !e->work_pending) {
        e->work_since_us = now;
    }
    e->work_pending = stepped;
    (void)pthread_mutex_unlock(&e->status_lock);
}

/* How long the next round may wait for an event, in ms; -1: for ever. */
static int64_t wait_of(const struct weir_engine *e, int stepped)
{
    if (stepped) {
        return 0;
    }
    uint64_t idle_us = weir_scheduler_idle_us(e->scheduler);
    return idle_us > 0 ? (int64_t)((idle_us + 999) / 1000) : -1;
}

/* Rounds until the mailbox closes (0) or the device fails. */
static int run_rounds(struct weir_engine *e)
{
    int r = 1;
    while (!weir_mailbox_is_closing(&e->mailbox)) {
        take_events(e, wait_of(e, r));
        weir_engine_mark_work(e);
        r = weir_scheduler_run(e->scheduler);
        if (r < 0) {
            return r;
        }
        publish_status(e, r > 0);
    }
    return 0;
}

/* Ends every job, also those that arrived in the meantime, and takes the model down. */
static void tear_down(struct weir_engine *e, int rc, const char *message)
{
    weir_mailbox_accept(&e->mailbox, false);
    if (e->scheduler) {
        take_events(e, 0);
        weir_scheduler_abort(e->scheduler, rc, message);
        weir_scheduler_destroy(e->scheduler);
        e->scheduler = NULL;
    }
    publish_model(e, NULL);
}

/* Another try may help; a file that is wrong stays wrong. */
static bool may_recover(int rc)
{
    return rc == WEIR_E_DEVICE || rc == WEIR_E_NOMEM || rc == WEIR_E_BUSY || rc == WEIR_E_TIMEOUT ||
           rc == WEIR_E_IO || rc == WEIR_E_INTERNAL;
}

/* Waits unless the mailbox closes; nothing else can come in, as no job is accepted. */
static void back_off(struct weir_engine *e, int64_t *wait_ms)
{
    (void)weir_mailbox_take(&e->mailbox, *wait_ms);
    *wait_ms = *wait_ms * 2 < MAX_BACKOFF_MS ? *wait_ms * 2 : MAX_BACKOFF_MS;
}

void *weir_engine_run(void *engine)
{
    struct weir_engine *e = engine;
    int64_t wait_ms = e->config.reload_ms;
    while (!weir_mailbox_is_closing(&e->mailbox)) {
        struct weir_error err = {0};
        int r = load(e, &err);
        if (r < 0 && turn_to_spare(e, r, &err)) {
            continue;
        }
        if (r == 0) {
            uint64_t steps = e->counters.steps;
            weir_mailbox_accept(&e->mailbox, true);
            set_state(e, WEIR_TARGET_READY, NULL);
            r = run_rounds(e);
            if (r < 0) {
                weir_error_set(&err, r, "the backend failed in a step: %s", weir_error_name(r));
            }
            if (e->counters.steps > steps) {
                wait_ms = e->config.reload_ms; /* it did work for a while */
            }
        }
        if (weir_mailbox_is_closing(&e->mailbox)) {
            break;
        }
        set_state(e, WEIR_TARGET_FAILED, &err);
        tear_down(e, WEIR_E_DEVICE, "the device failed");
        back_off(e, may_recover(r) ? &wait_ms : &(int64_t){-1});
    }
    tear_down(e, WEIR_E_CANCELLED, "the engine is shutting down");
    return NULL;
}
