/* SPDX-License-Identifier: Apache-2.0 */
#include "worker.h"

#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/poller.h"
#include "base/slice.h"
#include "core/api/error_body.h"
#include "core/metrics/metrics.h"
#include "core/request/replay.h"
#include "core/request/request.h"
#include "core/request/request_pool.h"
#include "core/server/server.h"
#include "core/store/store.h"

enum { TICK_MS = 100, MAX_SCRATCH_BYTES = 256 * 1024 };

TAILQ_HEAD(ready_requests, weir_request);

struct weir_worker {
    struct weir_server *server;
    struct weir_worker_settings settings;
    uv_loop_t loop;
    struct weir_poller poller; /* of the listeners' connections, and of targets' */
    uv_timer_t tick;
    uv_idle_t ready_turn;
    struct ready_requests ready; /* come whole in this turn */
    struct weir_replay_secret replay_secret;
    struct weir_inbox inbox;
    struct weir_inbox_item drain_item, stop_item;
    struct weir_tenants_reader *tenants_reader;
    struct weir_plugin_loop_uv plugin_loop;
    struct weir_plugin_chain *chain; /* a reference; looked after at each tick */
    struct weir_http_server *http;
    struct weir_buf scratch;
    struct weir_reply_frame reply_frame;
    struct weir_random random;
    struct weir_request_pool requests;
    bool stopping; /* [loop-thread] */
    bool started;
    bool has_store; /* [loop-thread] attached, and to be detached */
    pthread_t thread;
    _Atomic uint64_t heartbeat_us;
    atomic_bool drained;
};

static void on_headers(void *user, struct weir_http_exchange *ex)
{
    struct weir_request *r = weir_request_create(user, ex);
    weir_http_set_user(ex, r);
    if (!r) {
        weir_http_abort(ex);
        return;
    }
    weir_request_headers(r);
}

static void drop_ready(struct weir_worker *w, struct weir_request *r)
{
    if (r->is_ready) {
        TAILQ_REMOVE(&w->ready, r, ready);
        r->is_ready = false;
    }
}

/* Before the loop sends what this turn produced and sleeps. */
static void on_ready(uv_idle_t *handle)
{
    struct weir_worker *w = handle->data;
    for (struct weir_request *r; (r = TAILQ_FIRST(&w->ready)) != NULL;) {
        drop_ready(w, r);
        weir_request_body(r);
    }
    (void)uv_idle_stop(handle);
}

/* What a turn reads is worked on when all is read: reading and policies are more code than the
 * processor's first cache holds, and taking turns they would push each other out. */
static void on_request(void *user, struct weir_http_exchange *ex)
{
    struct weir_worker *w = user;
    struct weir_request *r = weir_http_user(ex);
    if (r) {
        TAILQ_INSERT_TAIL(&w->ready, r, ready);
        r->is_ready = true;
        (void)uv_idle_start(&w->ready_turn, on_ready); /* nothing, when it is started already */
    }
}

static void on_writable(void *user, struct weir_http_exchange *ex)
{
    (void)user;
    struct weir_request *r = weir_http_user(ex);
    if (r) {
        weir_request_writable(r);
    }
}

static void on_sent(void *user, struct weir_http_exchange *ex)
{
    (void)user;
    struct weir_request *r = weir_http_user(ex);
    if (r) {
        weir_request_sent(r);
    }
}

static void close_if_idle(struct weir_worker *w);

static void on_closed(void *user, struct weir_http_exchange *ex, enum weir_http_end why)
{
    struct weir_request *r = weir_http_user(ex);
    if (r) {
        drop_ready(user, r);
        weir_request_closed(r, why);
    }
}

/* What HTTP refuses is answered in the same shape, mostly before there is a struct weir_request. */
static void on_problem(void *user, struct weir_http_exchange *ex,
                       const struct weir_http_problem_info *problem, struct weir_buf *ret_body)
{
    char id[WEIR_REQUEST_ID_BYTES];
    struct weir_request *r = weir_http_user(ex);
    if (r) { /* its head was good; the body was not, or did not come */
        r->status = (uint32_t)problem->status;
        r->error_code = problem->code;
    } else {
        weir_request_id_make(weir_worker_random(user), id);
    }
    (void)weir_http_add_header(ex, weir_str_from("x-request-id"), weir_str_from(r ? r->id : id));
    if (problem->status == 503) {
        weir_http_add_retry_after(ex, 1000000);
    }
    (void)weir_http_add_header(ex, weir_str_from("Content-Type"),
                               weir_str_from("application/json"));
    weir_error_body_write(ret_body, (unsigned)problem->status, weir_str_from(problem->message),
                          (weir_str){NULL, 0}, weir_str_from(problem->code));
}

static void on_drained(void *user)
{
    struct weir_worker *w = user;
    atomic_store_explicit(&w->drained, true, memory_order_release);
}

static void on_tick(uv_timer_t *timer)
{
    struct weir_worker *w = timer->data;
    uint64_t now_us = weir_worker_now_us(w);
    weir_tenants_reader_turn(w->tenants_reader);
    atomic_store_explicit(&w->heartbeat_us, now_us, memory_order_relaxed);
    if (w->chain) { /* so that one that was replaced goes, also where no request comes */
        weir_plugins_update(w->server->plugins, &w->chain);
    }
    for (struct weir_request *r = w->requests.live, *next; r; r = next) {
        next = r->next;
        weir_request_tick(r, now_us);
    }
    if (w->stopping) {
        close_if_idle(w);
    }
}

static struct weir_worker *from_item(struct weir_inbox_item *item, size_t offset)
{
    return (struct weir_worker *)(void *)((char *)item - offset);
}

static void drain_on_loop(struct weir_inbox_item *item)
{
    struct weir_worker *w = from_item(item, offsetof(struct weir_worker, drain_item));
    if (w->http) {
        weir_http_server_drain(w->http);
    }
}

/* Targets that work on this loop close what they have open here. */
static bool targets_have_left(struct weir_worker *w)
{
    const struct weir_models *models = &w->server->models;
    bool all = true;
    for (uint32_t i = 0; w->settings.index != WEIR_WORKER_ADMIN && i < models->n; i++) {
        for (uint32_t k = 0; k < weir_model_n_targets(models->list[i]); k++) {
            all &= weir_target_loop_end(weir_model_target(models->list[i], k), w->settings.index);
        }
    }
    return all;
}

/* The loop ends when its last handle is closed; that waits until no request is left. */
static void close_if_idle(struct weir_worker *w)
{
    if (w->requests.live || uv_is_closing((uv_handle_t *)&w->tick) || !targets_have_left(w) ||
        (w->has_store && !weir_store_detach(w->server->store, false))) {
        return; /* what requests left to be stored is on its way; the next tick looks again */
    }
    weir_worker_leave_plugins(w);
    weir_plugin_loop_uv_close(&w->plugin_loop, NULL);
    weir_inbox_finish(&w->inbox);
    uv_close((uv_handle_t *)&w->ready_turn, NULL);
    uv_close((uv_handle_t *)&w->tick, NULL);
    weir_poller_close(&w->poller, NULL);
}

static void stop_on_loop(struct weir_inbox_item *item)
{
    struct weir_worker *w = from_item(item, offsetof(struct weir_worker, stop_item));
    w->stopping = true;
    struct weir_http_server *http = w->http;
    w->http = NULL;
    weir_http_server_destroy(http); /* aborts every exchange: on_closed cancels their work */
    close_if_idle(w);
}

static const struct weir_http_handler handler = {
    .on_headers = on_headers,
    .on_request = on_request,
    .on_writable = on_writable,
    .on_sent = on_sent,
    .on_closed = on_closed,
    .on_problem = on_problem,
    .on_drained = on_drained,
};

/* Closes what open_parts() has opened so far, which takes a turn of the loop. */
static void undo_open(struct weir_worker *w, bool has_poller, bool has_inbox, bool has_plugin_loop)
{
    if (has_plugin_loop) {
        weir_plugin_loop_uv_close(&w->plugin_loop, NULL);
    }
    if (has_inbox) {
        weir_inbox_finish(&w->inbox);
    }
    if (has_poller) {
        weir_poller_close(&w->poller, NULL);
    }
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&w->loop);
}

/* All that create() opens and that may fail. */
static int open_parts(struct weir_worker *w)
{
    const struct weir_worker_settings *o = &w->settings;
    int r = uv_loop_init(&w->loop);
    if (r < 0) {
        return r;
    }
    bool has_poller = weir_poller_open(&w->poller, &w->loop) == 0;
    if (has_poller) {
        weir_poller_share(&w->poller);
    }
    bool has_inbox = has_poller && weir_inbox_init(&w->inbox, &w->loop) == 0;
    bool has_plugin_loop = has_inbox && weir_plugin_loop_uv_init(&w->plugin_loop, &w->loop) == 0;
    if (!has_plugin_loop || weir_tenants_reader_add(w->server->tenants, &w->tenants_reader) < 0 ||
        weir_http_server_create(&w->loop, &o->http, &handler, w, &w->http) < 0) {
        undo_open(w, has_poller, has_inbox, has_plugin_loop);
        return UV_ENOMEM;
    }
    return 0;
}

int weir_worker_create(struct weir_server *server, const struct weir_worker_settings *settings,
                       struct weir_worker **ret_worker, struct weir_error *err)
{
    struct weir_worker *w = calloc(1, sizeof(*w));
    if (!w) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    w->server = server;
    w->settings = *settings;
    weir_buf_init(&w->scratch, settings->max_response_bytes);
    TAILQ_INIT(&w->ready);
    w->drain_item.run = drain_on_loop;
    w->stop_item.run = stop_on_loop;
    atomic_store_explicit(&w->heartbeat_us, weir_clock_mono_us(), memory_order_relaxed);
    int r = open_parts(w);
    if (r < 0) {
        free(w);
        return weir_error_set(err, WEIR_E_IO, "cannot set up a worker: %s", uv_strerror(r));
    }
    (void)uv_idle_init(&w->loop, &w->ready_turn);
    w->ready_turn.data = w;
    weir_http_server_use_tls(w->http, settings->tls);
    (void)uv_timer_init(&w->loop, &w->tick);
    w->tick.data = w;
    (void)uv_timer_start(&w->tick, on_tick, TICK_MS, TICK_MS);
    *ret_worker = w;
    return 0;
}

int weir_worker_listen(struct weir_worker *w, const char *address, uint16_t *ret_port,
                       struct weir_error *err)
{
    return weir_http_server_listen(w->http, address, ret_port, err);
}

int weir_worker_attach_store(struct weir_worker *w, bool is_main, struct weir_error *err)
{
    int rc = weir_store_attach(w->server->store, &w->loop, is_main);
    w->has_store = rc == 0;
    return rc < 0 ? weir_error_set(err, rc, "cannot attach a loop: %s", weir_error_name(rc)) : 0;
}

int weir_worker_listen_along(struct weir_worker *w, const struct weir_worker *first,
                             const char *address, struct weir_error *err)
{
    return weir_http_server_listen_along(w->http, first->http, address, err);
}

static void on_turned(void *user)
{
    struct weir_worker *w = user;
    if (w->plugin_loop.loop) { /* else it was closed in this turn */
        weir_plugin_loop_turned(w->plugin_loop.loop);
    }
}

void weir_worker_run(struct weir_worker *w)
{
    weir_plugin_loop_adopt(w->plugin_loop.loop);
    weir_poller_run(&w->poller, on_turned, w);
    weir_plugin_loop_adopt(NULL);
}

void weir_worker_run_once(struct weir_worker *w)
{
    (void)uv_run(&w->loop, UV_RUN_ONCE);
    on_turned(w);
}

void weir_worker_end_run(struct weir_worker *w)
{
    weir_poller_stop(&w->poller);
}

static void *thread_main(void *arg)
{
    struct weir_worker *w = arg;
    struct weir_error err = {0};
    if (weir_worker_attach_store(w, false, &err) < 0) {
        weir_log(WEIR_LOG_ERROR, "store", NULL, "a worker runs without it: %s", err.message);
    }
    if (w->settings.cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((size_t)w->settings.cpu, &set);
        (void)pthread_setaffinity_np(pthread_self(), sizeof(set), &set); /* a wish, not a need */
    }
    weir_slice_wish(WEIR_SLICE_LOOP_US);
    weir_metrics_own(w->settings.index);
    weir_worker_run(w);
    return NULL;
}

int weir_worker_start(struct weir_worker *w, struct weir_error *err)
{
    int e = pthread_create(&w->thread, NULL, thread_main, w);
    if (e) {
        return weir_error_set(err, WEIR_E_NOMEM, "cannot start a worker thread");
    }
    (void)pthread_setname_np(w->thread, "weir-loop");
    w->started = true;
    return 0;
}

void weir_worker_drain(struct weir_worker *w)
{
    weir_inbox_post(&w->inbox, &w->drain_item);
    weir_inbox_wake(&w->inbox);
}

bool weir_worker_is_drained(const struct weir_worker *w)
{
    return atomic_load_explicit(&w->drained, memory_order_acquire);
}

void weir_worker_stop(struct weir_worker *w)
{
    weir_inbox_post(&w->inbox, &w->stop_item);
    weir_inbox_wake(&w->inbox);
}

void weir_worker_join(struct weir_worker *w)
{
    if (w->started) {
        (void)pthread_join(w->thread, NULL);
        w->started = false;
    } else {
        weir_worker_run(w); /* no thread of its own: the loop's last turns happen here */
    }
}

void weir_worker_destroy(struct weir_worker *w)
{
    if (!w) {
        return;
    }
    (void)uv_loop_close(&w->loop);
    weir_request_pool_finish(&w->requests);
    weir_buf_finish(&w->scratch);
    free(w);
}

uint64_t weir_worker_heartbeat_age_us(const struct weir_worker *w)
{
    uint64_t beat_us = atomic_load_explicit(&w->heartbeat_us, memory_order_relaxed);
    uint64_t now_us = weir_clock_mono_us();
    return now_us > beat_us ? now_us - beat_us : 0;
}

uint32_t weir_worker_n_requests(const struct weir_worker *w)
{
    return weir_request_pool_n_live(&w->requests);
}

uv_loop_t *weir_worker_loop(struct weir_worker *w)
{
    return &w->loop;
}

uint64_t weir_worker_now_us(struct weir_worker *w)
{
    return weir_plugin_loop_turn_us(w->plugin_loop.loop);
}

struct weir_request_pool *weir_worker_requests(struct weir_worker *w)
{
    return &w->requests;
}

struct weir_inbox *weir_worker_inbox(struct weir_worker *w)
{
    return &w->inbox;
}

struct weir_server *weir_worker_server(struct weir_worker *w)
{
    return w->server;
}

const struct weir_worker_settings *weir_worker_settings(const struct weir_worker *w)
{
    return &w->settings;
}

struct weir_plugin_loop *weir_worker_plugin_loop(struct weir_worker *w)
{
    return w->plugin_loop.loop;
}

struct weir_plugin_chain *weir_worker_chain(struct weir_worker *w)
{
    weir_plugins_update(w->server->plugins, &w->chain);
    return w->chain;
}

struct weir_replay_secret *weir_worker_replay_secret(struct weir_worker *w)
{
    return &w->replay_secret;
}

struct weir_buf *weir_worker_scratch(struct weir_worker *w)
{
    weir_buf_recycle(&w->scratch, MAX_SCRATCH_BYTES);
    return &w->scratch;
}

struct weir_reply_frame *weir_worker_reply_frame(struct weir_worker *w)
{
    return &w->reply_frame;
}

struct weir_random *weir_worker_random(struct weir_worker *w)
{
    return &w->random;
}

void weir_worker_leave_plugins(struct weir_worker *w)
{
    weir_plugin_chain_unref(w->chain);
    w->chain = NULL;
}

struct weir_observer *weir_worker_observer(struct weir_worker *w)
{
    return w->server->observer;
}

const struct weir_models *weir_worker_models(struct weir_worker *w)
{
    return &w->server->models;
}

const struct weir_routes *weir_worker_routes(const struct weir_worker *w)
{
    return w->settings.routes;
}

const struct weir_config_gateway *weir_worker_gateway(const struct weir_worker *w)
{
    return &w->server->gateway;
}

bool weir_worker_is_draining(const struct weir_worker *w)
{
    return atomic_load_explicit(&w->server->draining, memory_order_relaxed);
}
