/* SPDX-License-Identifier: Apache-2.0 */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "engine_internal.h"

enum {
    DEFAULT_MAX_BATCH = 32,
    MAX_BATCH = 4096,
    DEFAULT_STEP_TOKENS = 512,
    DEFAULT_STALL_MS = 60 * 1000,
    DEFAULT_RELOAD_MS = 1000,
    MAX_DETOKENIZED_BYTES = 64 << 20,
};

uint64_t weir_engine_now_us(const struct weir_engine *e)
{
    const weir_host *host = e->config.host;
    return host && WEIR_HAS_FN(host, now_us) ? host->now_us(host) : weir_clock_mono_us();
}

uint32_t weir_engine_places(uint32_t max_batch, uint32_t class_rank)
{
    uint32_t ahead = max_batch / 8 + 2;
    return max_batch + (class_rank == 0 ? ahead * 2 : class_rank == 1 ? ahead : ahead / 2);
}

uint32_t weir_engine_max_sequences(const struct weir_engine *e)
{
    return weir_engine_places(e->config.max_batch, 0) + e->config.max_batch;
}

void weir_engine_mark_work(struct weir_engine *e)
{
    (void)pthread_mutex_lock(&e->status_lock);
    if (!e->work_pending) {
        e->work_pending = true;
        e->work_since_us = weir_engine_now_us(e);
    }
    (void)pthread_mutex_unlock(&e->status_lock);
}

static int copy_config(struct weir_engine *e, const struct weir_engine_config *c,
                       struct weir_error *err)
{
    struct weir_engine_config *own = &e->config;
    *own = *c;
    own->max_batch = c->max_batch ? c->max_batch : DEFAULT_MAX_BATCH;
    own->max_step_tokens = c->max_step_tokens ? c->max_step_tokens : DEFAULT_STEP_TOKENS;
    own->stall_limit_ms = c->stall_limit_ms ? c->stall_limit_ms : DEFAULT_STALL_MS;
    own->reload_ms = c->reload_ms ? c->reload_ms : DEFAULT_RELOAD_MS;
    if (own->max_batch > MAX_BATCH) {
        return weir_error_set(err, WEIR_E_ARG, "max_batch: %u is above %d", own->max_batch,
                              MAX_BATCH);
    }
    if (own->max_step_tokens < own->max_batch) {
        return weir_error_set(err, WEIR_E_ARG,
                              "step_budget: %u is below max_batch (%u): a step must hold one "
                              "token of each sequence",
                              own->max_step_tokens, own->max_batch);
    }
    if (c->n_devices > WEIR_ENGINE_DEVICES_MAX) {
        return weir_error_set(err, WEIR_E_ARG, "device: more than %d of them",
                              WEIR_ENGINE_DEVICES_MAX);
    }
    if (c->n_devices > 0) {
        memcpy(e->devices, c->devices, c->n_devices * sizeof(e->devices[0]));
    }
    own->devices = e->devices;
    weir_arena_init(&e->strings, 1 << 20);
    own->model_file = weir_arena_copy(&e->strings, c->model_file);
    own->backend_options_json = weir_arena_copy(
        &e->strings, c->backend_options_json.n ? c->backend_options_json : weir_str_from("{}"));
    return own->model_file.p && own->backend_options_json.p
               ? 0
               : weir_error_set(err, WEIR_E_NOMEM, "out of memory");
}

/* Locks, mailbox, thread; on failure nothing of them is left. */
static int start(struct weir_engine *e, struct weir_error *err)
{
    int r = weir_page_secret_init(&e->secret);
    if (r < 0) {
        return weir_error_set(err, r, "no random bytes from the system");
    }
    if (weir_mailbox_init(&e->mailbox) < 0) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    (void)pthread_rwlock_init(&e->model_lock, NULL); /* cannot fail with default attributes */
    (void)pthread_mutex_init(&e->status_lock, NULL);
    r = weir_engine_watch_start(e);
    if (r == 0) {
        r = pthread_create(&e->thread, NULL, weir_engine_run, e);
        if (r != 0) {
            weir_engine_watch_stop(e);
        }
    }
    if (r != 0) {
        weir_mailbox_finish(&e->mailbox);
        return weir_error_set(err, WEIR_E_NOMEM, "cannot start a thread: %s", strerror(r));
    }
    return 0;
}

int weir_engine_create(const struct weir_engine_config *config, const weir_sink *sink,
                       struct weir_engine **ret_engine, struct weir_error *err)
{
    struct weir_engine *e = calloc(1, sizeof(*e));
    if (!e) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    e->sink = sink;
    e->status.state = WEIR_TARGET_LOADING;
    int r = copy_config(e, config, err);
    if (r == 0) {
        r = start(e, err);
    }
    if (r < 0) {
        weir_arena_finish(&e->strings);
        free(e);
        return r;
    }
    *ret_engine = e;
    return 0;
}

void weir_engine_interrupt(struct weir_engine *e)
{
    (void)pthread_rwlock_rdlock(&e->model_lock);
    if (e->model && WEIR_HAS_FN(e->model->backend, interrupt)) {
        e->model->backend->interrupt(e->model->handle);
    }
    (void)pthread_rwlock_unlock(&e->model_lock);
}

void weir_engine_destroy(struct weir_engine *e)
{
    if (!e) {
        return;
    }
    weir_mailbox_close(&e->mailbox);
    weir_engine_interrupt(e);
    (void)pthread_join(e->thread, NULL);
    weir_engine_watch_stop(e);
    weir_mailbox_finish(&e->mailbox);
    (void)pthread_rwlock_destroy(&e->model_lock);
    (void)pthread_mutex_destroy(&e->status_lock);
    weir_arena_finish(&e->strings);
    free(e);
}

static int stream_open(const weir_host *host, weir_str config_json, const weir_sink *sink,
                       void **target, weir_str *err)
{
    (void)host;
    (void)config_json;
    (void)sink;
    (void)target;
    *err = weir_str_from("an engine is made with a backend, not with a configuration alone");
    return WEIR_E_UNSUPPORTED;
}

static void stream_close(void *target)
{
    weir_engine_destroy(target);
}

static void stream_status(void *target, weir_target_status *out)
{
    struct weir_engine *e = target;
    uint64_t now = weir_engine_now_us(e);
    (void)pthread_mutex_lock(&e->status_lock);
    weir_target_status st = e->status;
    bool stalled = weir_engine_stalled_us(e, now) > (uint64_t)e->config.stall_limit_ms * 1000 / 2;
    (void)pthread_mutex_unlock(&e->status_lock);
    if (st.state == WEIR_TARGET_READY && stalled) {
        st.state = WEIR_TARGET_STALLED;
    }
    uint32_t size =
        out->struct_size && out->struct_size < sizeof(st) ? out->struct_size : (uint32_t)sizeof(st);
    st.struct_size = size;
    memcpy(out, &st, size);
}

static int stream_prepare(void *target, const weir_generation *g, weir_prepared *out,
                          weir_refusal *refusal)
{
    struct weir_engine *e = target;
    struct weir_prompt *prompt = NULL;
    (void)pthread_rwlock_rdlock(&e->model_lock);
    int r = e->model ? weir_prepare(&e->model->view, g, &prompt, refusal) : WEIR_E_BUSY;
    (void)pthread_rwlock_unlock(&e->model_lock);
    if (r < 0) {
        return r;
    }
    out->struct_size = sizeof(*out);
    out->prompt_tokens = prompt->n_tokens;
    out->max_tokens = prompt->max_tokens;
    out->state = prompt;
    return 0;
}

static void stream_discard(void *target, void *prepared_state)
{
    (void)target;
    weir_prompt_destroy(prepared_state);
}

static int stream_submit(void *target, const weir_generation *g, const weir_prepared *prepared,
                         weir_ticket ticket)
{
    struct weir_engine *e = target;
    struct weir_prompt *prompt = prepared->state;
    struct weir_job *job = NULL;
    if (prepared->max_tokens < prompt->max_tokens) {
        prompt->max_tokens = prepared->max_tokens; /* a plugin lowered it */
    }
    (void)pthread_rwlock_rdlock(&e->model_lock);
    int r = e->model ? 0 : WEIR_E_BUSY;
    if (r == 0 && prompt->n_tokens + prompt->max_tokens > e->model->view.n_ctx) {
        r = WEIR_E_TOOBIG; /* prepared before a reload that left less room */
    }
    if (r == 0 && prompt->grammar && prompt->model_serial != e->model->view.serial) {
        r = WEIR_E_DEVICE; /* its grammar went with the model that failed */
    }
    if (r == 0) {
        r = weir_job_create(g, prompt, ticket, &e->model->vocabulary, &job);
    }
    if (r == 0) {
        r = weir_mailbox_submit(&e->mailbox, job, weir_engine_max_sequences(e));
        if (r < 0) {
            job->prompt = NULL; /* stays with the host */
            weir_job_destroy(job);
        }
    }
    (void)pthread_rwlock_unlock(&e->model_lock);
    return r;
}

static void stream_cancel(void *target, weir_ticket ticket)
{
    weir_mailbox_post(&((struct weir_engine *)target)->mailbox, ticket, WEIR_EVENT_CANCEL);
}

static void stream_wake(void *target, weir_ticket ticket)
{
    weir_mailbox_post(&((struct weir_engine *)target)->mailbox, ticket, WEIR_EVENT_WAKE);
}

static int64_t stream_tokenize(void *target, weir_str text, int add_special, int32_t *out,
                               size_t cap)
{
    struct weir_engine *e = target;
    int64_t n = WEIR_E_BUSY;
    (void)pthread_rwlock_rdlock(&e->model_lock);
    if (e->model) {
        const struct weir_vocabulary *v = &e->model->vocabulary;
        n = v->encode(v->impl, text, add_special ? WEIR_TEXT_ADD_SPECIAL : 0, out, cap);
    }
    (void)pthread_rwlock_unlock(&e->model_lock);
    return n;
}

static int decode(const struct weir_vocabulary *v, const int32_t *tokens, size_t n_tokens,
                  struct weir_buf *out)
{
    for (size_t i = 0; i < n_tokens; i++) {
        if (tokens[i] < 0 || (uint32_t)tokens[i] >= v->n_vocab) {
            return WEIR_E_ARG;
        }
    }
    v->decode(v->impl, tokens, n_tokens, out);
    return out->failed ? WEIR_E_TOOBIG : 0;
}

static int64_t stream_detokenize(void *target, const int32_t *tokens, size_t n_tokens, char *out,
                                 size_t cap)
{
    struct weir_engine *e = target;
    struct weir_buf text;
    weir_buf_init(&text, MAX_DETOKENIZED_BYTES);
    (void)pthread_rwlock_rdlock(&e->model_lock);
    int r = e->model ? decode(&e->model->vocabulary, tokens, n_tokens, &text) : WEIR_E_BUSY;
    (void)pthread_rwlock_unlock(&e->model_lock);
    int64_t n = r < 0 ? r : (int64_t)text.len;
    if (r == 0 && text.len > 0 && cap > 0) {
        memcpy(out, text.data, text.len < cap ? text.len : cap);
    }
    weir_buf_finish(&text);
    return n;
}

static void stream_stats(void *target, void (*each)(void *arg, const char *name, double value),
                         void *arg)
{
    struct weir_engine *e = target;
    (void)pthread_rwlock_rdlock(&e->model_lock);
    if (e->model && WEIR_HAS_FN(e->model->backend, stats)) {
        e->model->backend->stats(e->model->handle, each, arg);
    }
    (void)pthread_rwlock_unlock(&e->model_lock);
}

const weir_backend_stream *weir_engine_stream(void)
{
    static const weir_backend_stream stream = {
        .struct_size = sizeof(stream),
        .open = stream_open,
        .close = stream_close,
        .status = stream_status,
        .prepare = stream_prepare,
        .discard = stream_discard,
        .submit = stream_submit,
        .cancel = stream_cancel,
        .wake = stream_wake,
        .tokenize = stream_tokenize,
        .detokenize = stream_detokenize,
        .stats = stream_stats,
    };
    return &stream;
}
