/* SPDX-License-Identifier: Apache-2.0 */
#include "server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/config/tenant_entry.h"
#include "core/plugin/admin.h"
#include "core/request/observe.h"
#include "core/request/request.h"
#include "core/request/routes.h"
#include "core/request/shedding.h"
#include "core/request/streams.h"
#include "core/server/listen.h"
#include "core/server/notify.h"
#include "core/server/open_models.h"
#include "core/server/open_store.h"
#include "core/server/progress.h"

enum {
    N_SIGNALS = 3,
    WATCH_MS = 50,
    STOP_GRACE_US = 5 * 1000000, /* after the drain: aborted requests get so long to unwind */
    STOP_GRACE_S = 10,           /* and then, each: targets; plugins, store and main loop */
    LOOP_GRACE_S = 30,           /* loops, which may wait for a name's look-up */
    HEARTBEAT_LIMIT_US = 5 * 1000000,
    REQUEST_ARENA_FACTOR = 8, /* parsed form of a body, in bodies */
    MAX_RESPONSE_BYTES = 16 * 1024 * 1024
};

bool weir_server_is_live(const struct weir_server *s)
{
    for (uint32_t i = 0; i < s->n_workers; i++) {
        if (weir_worker_heartbeat_age_us(s->workers[i]) > HEARTBEAT_LIMIT_US) {
            return false;
        }
    }
    return true;
}

/* An upstream that is away is no reason to take this replica out, since others see the same; but
 * with no model at all it is of no use. */
static bool models_are_ready(const struct weir_models *models, struct weir_error *ret_why)
{
    static const char *const words[] = {"unknown", "loading", "ready", "stalled", "failed"};
    const struct weir_model *bad = NULL;
    uint32_t bad_state = 0, n_ready = 0;
    bool blocks = false;
    for (uint32_t i = 0; i < models->n; i++) {
        struct weir_model *m = models->list[i];
        uint32_t state = weir_model_state(m);
        n_ready += state == WEIR_TARGET_READY;
        if (state != WEIR_TARGET_READY && (!bad || !weir_model_is_remote(m))) {
            bad = m;
            bad_state = state;
            blocks = blocks || !weir_model_is_remote(m);
        }
    }
    if (bad && (blocks || n_ready == 0)) {
        weir_error_set(ret_why, WEIR_E_BUSY, "model %s is %s", weir_model_name(bad),
                       words[bad_state <= 4 ? bad_state : 0]);
        return false;
    }
    return true;
}

bool weir_server_is_ready(struct weir_server *s, struct weir_error *ret_why)
{
    if (atomic_load_explicit(&s->draining, memory_order_relaxed)) {
        weir_error_set(ret_why, WEIR_E_GONE, "shutting down");
        return false;
    }
    if (!weir_tenant_records_were_tried(s->records)) {
        weir_error_set(ret_why, WEIR_E_BUSY, "the tenants are being read");
        return false;
    }
    return models_are_ready(&s->models, ret_why);
}

struct weir_config *weir_server_config(struct weir_server *s)
{
    (void)pthread_mutex_lock(&s->config_mutex);
    struct weir_config *config = weir_config_ref(s->config);
    (void)pthread_mutex_unlock(&s->config_mutex);
    return config;
}

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

static int configure_plugins(struct weir_server *s, const struct weir_config *config,
                             struct weir_findings *findings)
{
    struct weir_plugin_spec *specs = calloc(config->n_plugins + 1, sizeof(*specs));
    if (!specs) {
        return WEIR_E_NOMEM;
    }
    for (size_t i = 0; i < config->n_plugins; i++) {
        specs[i] = (struct weir_plugin_spec){.name = config->plugins[i].name,
                                             .entry = config->plugins[i].name_node,
                                             .config = config->plugins[i].node};
    }
    memcpy(s->slas, config->slas, sizeof(s->slas));
    int r = weir_plugins_configure(s->plugins, specs, config->n_plugins, config->tenants_json,
                                   findings);
    free(specs);
    return r;
}

static bool tenants_are_read(void *arg)
{
    const struct weir_server *s = arg;
    return weir_tenant_records_are_read(s->records);
}

static int check_tenant(void *arg, weir_str name, weir_str entry, struct weir_error *ret_problem)
{
    struct weir_config *config = weir_server_config(arg);
    struct weir_tenant_problem problem;
    char *json = NULL;
    int r = weir_tenant_entry_check(config, name, entry, &json, &problem);
    weir_config_unref(config);
    free(json);
    return r < 0 ? weir_error_set(ret_problem, r, "%.80s%s%s", problem.path,
                                  *problem.path ? ": " : "", problem.text)
                 : 0;
}

static int create_plugins(struct weir_server *s, struct weir_findings *findings,
                          struct weir_error *err)
{
    struct weir_plugins_options options = {
        .dirs = s->config->plugin_dirs.items,
        .n_dirs = s->config->plugin_dirs.n,
        .ops = &weir_request_plugin_ops,
        .metrics = s->metrics,
        .store = s->store,
        .tenants = s->tenants,
        .tenants_are_read = tenants_are_read,
        .check_tenant = check_tenant,
        .tenants_arg = s,
        .slas = s->slas,
        .targets_ops = &weir_targets_ops,
        .targets = s->targets,
        .main_loop = weir_worker_plugin_loop(s->admin),
    };
    int r = weir_plugins_create(&options, &s->plugins);
    if (r < 0) {
        return weir_error_set(err, r, "cannot set up the plugin host: %s", weir_error_name(r));
    }
    r = weir_tenants_set_entries(s->tenants, s->config->tenants_json);
    if (r < 0) {
        return weir_error_set(err, r, "tenants: %s", weir_error_name(r));
    }
    r = configure_plugins(s, s->config, findings);
    return r < 0 ? weir_error_set(err, WEIR_E_ARG, "plugins: the configuration is wrong") : 0;
}

static void apply_logging(const struct weir_config *config)
{
    enum weir_log_level level = WEIR_LOG_INFO;
    (void)weir_log_level_parse(weir_str_from(config->logging.level), &level);
    weir_log_configure(level, config->logging.json);
}

/* ---- running ---- */

/* Models, listeners and the store keep what they were made with; the rest reads the new one. */
static void swap_config(struct weir_server *s, struct weir_config *config)
{
    (void)pthread_mutex_lock(&s->config_mutex);
    struct weir_config *old = s->config;
    s->config = config;
    (void)pthread_mutex_unlock(&s->config_mutex);
    weir_config_unref(old);
}

static void reload(struct weir_server *s)
{
    struct weir_findings findings;
    struct weir_config *config = NULL;
    weir_findings_init(&findings, s->options->config_file);
    int r = weir_config_load(&findings, false, &config);
    if (r == 0) { /* before the plugins, so that a key's tenant is never unknown */
        r = weir_tenants_set_entries(s->tenants, config->tenants_json);
        r = r < 0 ? r : configure_plugins(s, config, &findings);
    }
    if (r < 0) {
        (void)weir_tenants_set_entries(s->tenants, s->config->tenants_json);
        s->n_failed_reloads++;
        weir_findings_print(&findings, stderr);
        weir_log(WEIR_LOG_ERROR, "server", NULL, "reload failed; the old configuration stays");
        weir_config_unref(config);
    } else {
        s->n_reloads++;
        apply_logging(config);
        static const char *const fixed[] = {"server", "models", "store"};
        for (size_t i = 0; i < 3; i++) {
            yyjson_val *before = yyjson_obj_get(yyjson_doc_get_root(s->config->json), fixed[i]);
            yyjson_val *after = yyjson_obj_get(yyjson_doc_get_root(config->json), fixed[i]);
            if (!yyjson_equals(before, after)) {
                weir_log(WEIR_LOG_WARN, "server", NULL,
                         "%s: changes take effect at the next start, ignoring until then",
                         fixed[i]);
            }
        }
        swap_config(s, config);
        weir_log(WEIR_LOG_INFO, "server", NULL, "configuration reloaded");
    }
    weir_findings_finish(&findings);
}

/* Ends the main loop's run; finish() takes everything down in order. */
static void begin_stop(struct weir_server *s)
{
    s->stopping = true;
    uv_stop(weir_worker_loop(s->admin));
}

static void begin_drain(struct weir_server *s)
{
    if (atomic_exchange_explicit(&s->draining, true, memory_order_relaxed)) {
        weir_log(WEIR_LOG_WARN, "server", NULL, "second signal: stopping at once");
        begin_stop(s);
        return;
    }
    uint32_t running = 0;
    for (uint32_t i = 0; i < s->n_workers; i++) {
        running += weir_worker_n_requests(s->workers[i]);
    }
    weir_log(WEIR_LOG_INFO, "server", NULL, "draining: %u requests run, up to %u ms for them",
             running, s->config->server.drain_timeout_ms);
    weir_notify("STOPPING=1");
    s->drain_deadline_us =
        weir_clock_mono_us() + (uint64_t)s->config->server.drain_timeout_ms * 1000u;
    for (uint32_t i = 0; i < s->n_workers; i++) {
        weir_worker_drain(s->workers[i]);
    }
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct weir_server *s = handle->data;
    if (signum == SIGHUP) {
        weir_notify("RELOADING=1");
        reload(s);
        weir_tls_watch_look(s->tls, weir_clock_mono_us(), true);
        weir_notify("READY=1");
    } else {
        begin_drain(s);
    }
}

static void watch_drain(struct weir_server *s)
{
    bool drained = true;
    for (uint32_t i = 0; i < s->n_workers; i++) {
        drained &=
            weir_worker_is_drained(s->workers[i]) && weir_worker_n_requests(s->workers[i]) == 0;
    }
    bool late = weir_clock_mono_us() > s->drain_deadline_us;
    if (late && !drained) {
        weir_log(WEIR_LOG_WARN, "server", NULL, "drain timeout: ending what still runs");
    }
    if (drained || late) {
        begin_stop(s);
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
        watch_drain(s);
    } else if (!atomic_load_explicit(&s->started, memory_order_relaxed)) {
        (void)watch_start(s);
    }
}

static void watch_signals(struct weir_server *s)
{
    static const int numbers[N_SIGNALS] = {SIGTERM, SIGINT, SIGHUP};
    uv_loop_t *loop = weir_worker_loop(s->admin);
    for (size_t i = 0; i < N_SIGNALS; i++) {
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
        weir_server_await_store(s->store, weir_worker_loop(s->admin));
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
    apply_logging(s->config);
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
    r = r < 0 ? r : create_plugins(s, findings, err);
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

static void give_up(int signum)
{
    static const char why[] = "weir: a loop, target or plugin does not end: leaving as is\n";
    (void)signum;
    (void)!write(STDERR_FILENO, why, sizeof(why) - 1);
    _exit(1);
}

/* What follows ends in time, or the process does: a device that hangs in a step, or a plugin in its
 * last call, would keep a thread, and with it the process. */
static void bound_the_end(unsigned grace_s)
{
    (void)signal(SIGALRM, give_up);
    (void)alarm(grace_s);
}

/* A backend that does not let go of its requests must not keep the process from ending. */
static void join_workers(struct weir_server *s)
{
    uint64_t give_up_us = weir_clock_mono_us() + STOP_GRACE_US;
    for (uint32_t i = 0; i < s->n_workers; i++) {
        weir_worker_stop(s->workers[i]);
    }
    for (uint32_t i = 0; i < s->n_workers; i++) {
        while (weir_worker_n_requests(s->workers[i]) && weir_clock_mono_us() < give_up_us) {
            (void)usleep(1000);
        }
        if (weir_worker_n_requests(s->workers[i])) {
            weir_log(WEIR_LOG_ERROR, "server", NULL, "requests did not end in time: leaving as is");
            _exit(1);
        }
        bound_the_end(LOOP_GRACE_S);
        weir_worker_join(s->workers[i]);
    }
}

static void close_watches(struct weir_server *s)
{
    for (int i = 0; i < N_SIGNALS && s->watching; i++) {
        uv_close((uv_handle_t *)&s->signals[i], NULL);
    }
    if (s->watching) {
        uv_close((uv_handle_t *)&s->watch, NULL);
    }
}

/* Copes with a start that stopped half-way. Order: nothing runs that uses what is destroyed; the
 * main loop, whose clock the plugin host lends to all, goes last. */
static void finish(struct weir_server *s)
{
    join_workers(s);
    if (s->watching) {
        (void)uv_timer_stop(&s->watch); /* the store's end turns the loop once more */
    }
    if (s->observer) {
        weir_observer_set_models(s->observer, NULL);
    }
    bound_the_end(STOP_GRACE_S);
    while (s->n_checkers > 0) {
        weir_checker_destroy(s->checkers[--s->n_checkers]);
    }
    if (s->targets) {
        weir_targets_close(s->targets);
    }
    for (uint32_t i = 0; i < s->models.n; i++) {
        weir_model_destroy(s->models.list[i]);
    }
    free(s->models.list);
    weir_config_unref(s->first_config);
    s->models = (struct weir_models){NULL, 0};
    s->options->close_engines(s->options->engine_arg);
    bound_the_end(STOP_GRACE_S);
    weir_shedding_destroy(s->shedding);
    if (s->store && s->admin) {
        weir_server_finish_store(s->store, weir_worker_loop(s->admin));
    }
    if (s->admin) {
        weir_worker_leave_plugins(s->admin); /* its loop still has to end */
    }
    weir_plugins_destroy(s->plugins);
    s->plugins = NULL;
    weir_targets_destroy(s->targets);
    for (uint32_t i = 0; i < s->n_workers; i++) {
        weir_worker_destroy(s->workers[i]);
    }
    s->n_workers = 0;
    if (s->admin) {
        close_watches(s);
        weir_worker_stop(s->admin);
        weir_worker_join(s->admin);
        weir_worker_destroy(s->admin);
    }
    (void)alarm(0);
    weir_streams_destroy(s->streams);
    weir_tenant_records_destroy(s->records);
    weir_tenants_destroy(s->tenants);
    if (s->store) {
        weir_store_destroy(s->store);
    }
    weir_tls_watch_destroy(s->tls);
    weir_observer_destroy(s->observer);
    weir_metrics_destroy(s->metrics);
    weir_config_unref(s->config);
    if (s->options->pid_file) {
        (void)unlink(s->options->pid_file);
    }
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
    finish(s);
    (void)pthread_mutex_destroy(&s->config_mutex);
    free(s);
    return r;
}
