/* SPDX-License-Identifier: Apache-2.0 */
#include "core/server/end.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/request/observe.h"
#include "core/request/shedding.h"
#include "core/request/streams.h"
#include "core/server/notify.h"
#include "core/server/open_store.h"
#include "core/server/server.h"

enum {
    STOP_GRACE_US = 5 * 1000000, /* after the drain: aborted requests get so long to unwind */
    STOP_GRACE_S = 10,           /* and then, each: targets; plugins, store and main loop */
    LOOP_GRACE_S = 30            /* loops, which may wait for a name's look-up */
};

/* ---- drain ---- */

/* Ends the main loop's run; weir_server_finish() takes everything down in order. */
static void begin_stop(struct weir_server *s)
{
    weir_worker_end_run(s->admin);
}

void weir_server_drain(struct weir_server *s)
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

void weir_server_watch_drain(struct weir_server *s)
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

/* ---- taking down ---- */

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
    for (int i = 0; i < WEIR_N_SIGNALS && s->watching; i++) {
        uv_close((uv_handle_t *)&s->signals[i], NULL);
    }
    if (s->watching) {
        uv_close((uv_handle_t *)&s->watch, NULL);
    }
}

/* Copes with a start that stopped half-way. Order: nothing runs that uses what is destroyed; the
 * main loop, whose clock the plugin host lends to all, goes last. */
void weir_server_finish(struct weir_server *s)
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
        weir_server_finish_store(s->store, s->admin);
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
