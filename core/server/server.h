/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The daemon: configuration, models, plugins and workers, from start to exit.
 *
 * Why: one place knows the order in which things come up and go down. The main thread runs the
 * admin listener's loop, takes signals and reloads; workers serve; engines have threads of their
 * own. Ownership: weir_server_run() owns everything for its duration. Threads: run [main-thread].
 * Fields are written before the workers start, except atomics. Errors: WEIR_E_* with a sentence;
 * configuration mistakes go to `findings`. */
#include <pthread.h>
#include <stdatomic.h>

#include "core/config/config.h"
#include "core/metrics/metrics.h"
#include "core/plugin/plugins.h"
#include "core/server/tls_watch.h"
#include "core/server/worker.h"
#include "core/target/checker.h"
#include "core/target/model.h"
#include "core/target/targets.h"
#include "core/tenants/tenant_records.h"

enum { WEIR_MAX_WORKERS = 256, WEIR_MAX_CHECKERS = 256, WEIR_N_SIGNALS = 3 };

/* Opens one `engine:` target; given by the wiring, so that core knows no engine. */
typedef int (*weir_open_engine_fn)(void *arg, const struct weir_config *config,
                                   const struct weir_config_model *model,
                                   const struct weir_config_target *target,
                                   struct weir_plugins *plugins,
                                   struct weir_target_config *ret_target, struct weir_error *err);

struct weir_server_options {
    const char *config_file;
    const char *pid_file; /* NULL: none */
    bool show_progress;   /* a bar on the terminal while models load */
    weir_open_engine_fn open_engine;
    void (*close_engines)(void *arg); /* the models are gone, the plugin host is not */
    void *engine_arg;
    /* Called once everything answers; addresses as they were bound. !all_ready: a model failed, the
     * log says why. */
    void (*ready)(void *arg, const struct weir_config *config, uint16_t port, uint16_t admin_port,
                  bool all_ready);
    void *ready_arg;
};

struct weir_server {
    const struct weir_server_options *options;
    pthread_mutex_t config_mutex; /* guards `config`, which a reload swaps */
    struct weir_config *config;
    struct weir_metrics *metrics;
    struct weir_observer *observer;
    struct weir_store *store;
    struct weir_tenants *tenants;
    struct weir_tenant_records *records;
    struct weir_plugins *plugins;
    struct weir_config_latency_sla slas[3]; /* [main] while plugins are configured */
    struct weir_tls_watch *tls;             /* NULL: plain */
    struct weir_config_gateway gateway;     /* as at the start; a reload does not change it */
    struct weir_config *first_config;       /* a reference: models borrow texts of it */
    struct weir_models models;
    struct weir_targets *targets; /* all of them, for plugins */
    struct weir_checker *checkers[WEIR_MAX_CHECKERS];
    uint32_t n_checkers;
    struct weir_streams *streams;
    struct weir_shedding *shedding;
    struct weir_worker *admin; /* its loop is the main loop */
    struct weir_worker *workers[WEIR_MAX_WORKERS];
    struct weir_inbox *inboxes[WEIR_MAX_WORKERS]; /* of the workers */
    uint32_t n_workers;
    uint16_t port, admin_port;
    bool admin_needs_key;
    uv_signal_t signals[WEIR_N_SIGNALS];
    uv_timer_t watch;
    uint64_t started_us, drain_deadline_us;
    atomic_bool draining;
    atomic_bool started; /* every model was ready once */
    bool watching;       /* signals and watch are open */
    uint64_t n_reloads, n_failed_reloads;
};

int weir_server_run(const struct weir_server_options *options, struct weir_findings *findings,
                    struct weir_error *err);

/* The configuration in force, as a reference: weir_config_unref(). [any-thread] */
struct weir_config *weir_server_config(struct weir_server *s);
/* What the probes answer. [any-thread] */
bool weir_server_is_live(const struct weir_server *s);
bool weir_server_is_ready(struct weir_server *s, struct weir_error *ret_why);
