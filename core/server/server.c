/* SPDX-License-Identifier: Apache-2.0 */
#include "server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/plugin/admin.h"
#include "core/request/observe.h"
#include "core/request/routes.h"
#include "core/request/shedding.h"
#include "core/request/streams.h"
#include "core/server/end.h"
#include "core/server/listen.h"
#include "core/server/notify.h"
#include "core/server/open_models.h"
#include "core/server/open_plugins.h"
#include "core/server/open_store.h"
#include "core/server/progress.h"
#include "core/server/reload.h"

enum {
    WATCH_MS = 50,
    REQUEST_ARENA_FACTOR = 8, /* parsed form of a body, in bodies */
    MAX_RESPONSE_BYTES = 16 * 1024 * 1024
};

/* ---- start ---- */

static void fill_http_limits(const struct weir_config_limits *from, struct weir_http_limits *to)
{
    weir_http_limits_init(to);
    to->max_connections = from->max_connections;
    to->max_target_bytes = from->max_target_bytes;
    to->max_head_bytes = from->max_head_bytes;
    to->max_headers = from->max_headers;
    to->max_body_bytes = from->max_body_bytes;
    to->header_timeout_ms = from->header_timeout_ms;
    to->body_idle_timeout_ms = from->body_idle_timeout_ms;
    to->keepalive_timeout_ms = from->keepalive_timeout_ms;
    to->write_stall_timeout_ms = from->write_stall_timeout_ms;
}

static uint32_t count_workers(const struct weir_config *config)
{
    if (config->server.n_workers) {
        return config->server.n_workers < WEIR_MAX_WORKERS ? config->server.n_workers
                                                           : WEIR_MAX_WORKERS;
    }
    long n_cores = sysconf(_SC_NPROCESSORS_ONLN);
    long taken = 0;
    for (size_t i = 0; i < config->n_models; i++) {
        for (size_t k = 0; k < config->models[i].n_targets; k++) {
            const struct weir_config_target *t = &config->models[i].targets[k];
            if (t->is_engine) { /* "auto" computes on every core */
                taken += t->engine.n_threads ? (long)t->engine.n_threads : n_cores;
            }
        }
    }
    long left = n_cores - taken;
    return left < 1 ? 1 : left > 64 ? 64 : (uint32_t)left;
}

static int create_workers(struct weir_server *s, struct weir_error *err)
{
    const struct weir_config_server *conf = &s->config->server;
    struct weir_worker_settings settings = {
        .max_response_bytes = MAX_RESPONSE_BYTES,
        .request_arena_bytes = conf->limits.max_body_bytes * REQUEST_ARENA_FACTOR + (1u << 20),
        .cpu = -1,
        .routes = &weir_routes_public,
    };
    fill_http_limits(&conf->limits, &settings.http);
    settings.http.max_streams = conf->http2_max_streams;
    settings.tls = weir_tls_watch_context(s->tls);
    uint32_t n = count_workers(s->config);
    long n_cores = sysconf(_SC_NPROCESSORS_ONLN);
    for (uint32_t i = 0; i < n; i++) {
        /* Loops take cores from the top; engines count theirs from the bottom. */
        settings.index = i;
        settings.cpu = conf->pin_threads && n_cores > (long)n ? (int)(n_cores - 1 - (long)i) : -1;
        int r = weir_worker_create(s, &settings, &s->workers[i], err);
        if (r < 0) {
            return r;
        }
        s->inboxes[i] = weir_worker_inbox(s->workers[i]);
        s->n_workers = i + 1;
    }
    return 0;
}

static int create_admin(struct weir_server *s, struct weir_error *err)
{
    struct weir_worker_settings settings = {
        .max_response_bytes = MAX_RESPONSE_BYTES,
        .request_arena_bytes = 8u << 20,
        .cpu = -1,
        .index = WEIR_WORKER_ADMIN,
        .routes = &weir_routes_admin,
    };
    weir_http_limits_init(&settings.http);
    settings.http.max_streams = s->config->server.http2_max_streams;
    settings.tls = s->config->server.tls_admin ? weir_tls_watch_context(s->tls) : NULL;
    return weir_worker_create(s, &settings, &s->admin, err);
}

/* ---- running ---- */

static void on_signal(uv_signal_t *handle, int signum)
{
    struct weir_server *s = handle->data;
    if (signum == SIGHUP) {
        weir_notify("RELOADING=1");
        weir_server_reload(s);
        weir_tls_watch_look(s->tls, weir_clock_mono_us(), true);
        weir_notify("READY=1");
    } else {
        weir_server_drain(s);
    }
}

static bool watch_start(struct weir_server *s)
{
    if (s->options->show_progress) {
        weir_progress_show(&s->models);
    }
    for (uint32_t i = 0; i < s->models.n; i++) {
        struct weir_model *m = s->models.list[i];
        if (weir_model_state(m) == WEIR_TARGET_LOADING && !weir_model_is_remote(m)) {
            return false; /* others' servers may come when they like */
        }
    }
    for (uint32_t i = 0; i < s->models.n; i++) {
        struct weir_model *m = s->models.list[i];
        for (uint32_t k = 0; k < weir_model_n_targets(m); k++) {
            weir_target_status status;
            weir_target_read_status(weir_model_target(m, k), &status);
            if (status.state == WEIR_TARGET_FAILED) {
                weir_log(WEIR_LOG_ERROR, "model", NULL, "%s: %s",
                         weir_target_name(weir_model_target(m, k)), status.error);
            }
        }
    }
    for (uint32_t i = 0; i < s->models.n; i++) {
        weir_model_watch(s->models.list[i]);
    }
    atomic_store_explicit(&s->started, true, memory_order_relaxed);
    weir_log(WEIR_LOG_INFO, "server", NULL, "serving %u model%s with %u worker%s after %.0f ms",
             s->models.n, s->models.n == 1 ? "" : "s", s->n_workers, s->n_workers == 1 ? "" : "s",
             (double)(weir_clock_mono_us() - s->started_us) / 1000.0);
    weir_notify("READY=1");
    if (s->options->ready) {
        struct weir_error why = {0};
        s->options->ready(s->options->ready_arg, s->config, s->port, s->admin_port,
                          weir_server_is_ready(s, &why));
    }
    return true;
}

static void on_watch(uv_timer_t *timer)
{
    struct weir_server *s = timer->data;
    for (uint32_t i = 0; i < s->models.n; i++) {
        weir_model_refresh(s->models.list[i]);
    }
    weir_shedding_tick(s->shedding, &s->config->shedding, weir_clock_mono_us());
    weir_tenant_records_tick(s->records, weir_clock_mono_us());
    weir_tls_watch_look(s->tls, weir_clock_mono_us(), false);
    if (atomic_load_explicit(&s->draining, memory_order_relaxed)) {
        weir_server_watch_drain(s);
    } else if (!atomic_load_explicit(&s->started, memory_order_relaxed)) {
        (void)watch_start(s);
    }
}

static void watch_signals(struct weir_server *s)
{
    static const int numbers[WEIR_N_SIGNALS] = {SIGTERM, SIGINT, SIGHUP};
    uv_loop_t *loop = weir_worker_loop(s->admin);
    for (size_t i = 0; i < WEIR_N_SIGNALS; i++) {
        (void)uv_signal_init(loop, &s->signals[i]);
        s->signals[i].data = s;
        (void)uv_signal_start(&s->signals[i], on_signal, numbers[i]);
    }
    (void)uv_timer_init(loop, &s->watch);
    s->watch.data = s;
    (void)uv_timer_start(&s->watch, on_watch, 0, WATCH_MS);
    s->watching = true;
}

static int write_pid_file(const char *path, struct weir_error *err)
{
    FILE *f = fopen(path, "we");
    if (!f || fprintf(f, "%ld\n", (long)getpid()) < 0 || fclose(f) != 0) {
        return weir_error_set(err, WEIR_E_IO, "cannot write the pid file %s", path);
    }
    return 0;
}

static bool wants_vllm_names(const struct weir_config *config)
{
    for (size_t i = 0; i < config->metrics_compat.n; i++) {
        if (strcmp(config->metrics_compat.items[i], "vllm") == 0) {
            return true;
        }
    }
    return false;
}

/* A key must be shown where others than this machine can reach the admin listener. */
static bool admin_needs_key(const struct weir_config_server *conf)
{
    static const char *const local[] = {"127.", "localhost:", "[::1]:", "unix:"};
    for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++) {
        if (strncmp(conf->admin, local[i], strlen(local[i])) == 0) {
            return conf->admin_keys == WEIR_ADMIN_KEYS_REQUIRED;
        }
    }
    return conf->admin_keys != WEIR_ADMIN_KEYS_OPTIONAL;
}

static int attach_store(struct weir_server *s, struct weir_error *err)
{
    int r = weir_worker_attach_store(s->admin, true, err);
    if (r == 0) {
        weir_server_await_store(s->store, s->admin);
    }
    return r;
}

static void note_admin_keys(struct weir_server *s)
{
    s->admin_needs_key = admin_needs_key(&s->config->server);
    struct weir_plugin_chain *chain = weir_plugins_chain(s->plugins);
    if (s->admin_needs_key && !weir_plugin_chain_has_guard(chain)) {
        weir_log(WEIR_LOG_WARN, "server", NULL,
                 "server.admin is open to others than this machine, and no plugin checks keys: all "
                 "but the probes is refused there. Add auth to plugins, or set server.admin_keys");
    }
    weir_plugin_chain_unref(chain);
}

static int start(struct weir_server *s, struct weir_findings *findings, struct weir_error *err)
{
    int r = weir_config_load(findings, false, &s->config);
    if (r < 0) {
        return weir_error_set(err, WEIR_E_ARG, "the configuration is wrong");
    }
    weir_server_apply_logging(s->config);
    r = r < 0 ? r : weir_metrics_create(&s->metrics);
    r = r < 0 ? r
              : weir_observer_create(s->metrics, wants_vllm_names(s->config), &s->observer, err);
    r = r < 0 ? r : weir_server_open_store(s->config, s->metrics, &s->store, err);
    r = r < 0 ? r : weir_streams_create(&s->streams);
    r = r < 0 ? r : weir_tenants_create(&s->tenants);
    r = r < 0 ? r : weir_targets_create(&s->targets);
    r = r < 0 ? r : weir_tenant_records_create(s->tenants, s->store, &s->records);
    r = r < 0 ? r : weir_tls_watch_create(&s->config->server, s->metrics, &s->tls, err);
    r = r < 0 ? r : create_admin(s, err);
    r = r < 0 ? r : attach_store(s, err);
    r = r < 0 ? r : create_workers(s, err);
    r = r < 0 ? r : weir_server_open_plugins(s, findings, err);
    r = r < 0 ? r : weir_server_listen(s, err);
    r = r < 0 ? r : weir_server_open_models(s, findings, err);
    r = r < 0 || !s->options->pid_file ? r : write_pid_file(s->options->pid_file, err);
    if (r >= 0) {
        note_admin_keys(s);
    }
    for (uint32_t i = 0; r >= 0 && i < s->n_workers; i++) {
        r = weir_worker_start(s->workers[i], err);
    }
    if (r < 0 && err->code == 0) {
        weir_error_set(err, r, "cannot start: %s", weir_error_name(r));
    }
    return r;
}

int weir_server_run(const struct weir_server_options *options, struct weir_findings *findings,
                    struct weir_error *err)
{
    struct weir_server *s = calloc(1, sizeof(*s));
    if (!s) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    /* A peer that left shows as a write error, where it is handled. */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)pthread_mutex_init(&s->config_mutex, NULL);
    s->options = options;
    s->started_us = weir_clock_mono_us();
    int r = start(s, findings, err);
    if (r >= 0) {
        watch_signals(s);
        weir_worker_run(s->admin);
    }
    weir_server_finish(s);
    (void)pthread_mutex_destroy(&s->config_mutex);
    free(s);
    return r;
}
