/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A worker: one thread, one libuv loop, one HTTP server, its requests. Shares nothing by default.
 *
 * Ownership: the server creates and destroys workers; a worker owns its loop and its requests.
 * Threads: create, start, stop, join, destroy [main-thread]; post-like functions as marked; all
 * accessors on the worker's own loop.
 * The admin listener is a worker as well, whose loop the main thread runs itself. */
#include <stdatomic.h>
#include <uv.h>

#include "core/net/http_server.h"
#include "core/plugin/chain.h"
#include "core/plugin/loop_uv.h"
#include "core/target/inbox.h"
#include "core/target/model.h"

struct weir_config_gateway;
struct weir_server;
struct weir_worker;
struct weir_request_pool;
struct weir_routes;
struct weir_observer;
struct weir_replay_secret;

enum { WEIR_WORKER_ADMIN = 0x7fffffff };

struct weir_worker_settings {
    struct weir_http_limits http;
    size_t max_response_bytes;    /* gathered per choice, or on its way to the socket */
    size_t request_arena_bytes;   /* what one request's parsed form may take */
    int cpu;                      /* to run on; -1: any */
    uint32_t index;               /* among the server's workers; WEIR_WORKER_ADMIN: the admin's */
    struct weir_tls_context *tls; /* for listeners; NULL: plain */
    const struct weir_routes *routes;
};

int weir_worker_create(struct weir_server *server, const struct weir_worker_settings *settings,
                       struct weir_worker **ret_worker, struct weir_error *err);
int weir_worker_listen(struct weir_worker *w, const char *address, uint16_t *ret_port,
                       struct weir_error *err);
/* Where `first` listens already; see weir_http_server_listen_along(). */
int weir_worker_listen_along(struct weir_worker *w, const struct weir_worker *first,
                             const char *address, struct weir_error *err);
int weir_worker_start(struct weir_worker *w, struct weir_error *err);
/* Lets the calling thread, which runs this loop, use the store. A worker with a thread of its own
 * does so itself. */
int weir_worker_attach_store(struct weir_worker *w, bool is_main, struct weir_error *err);
/* Runs the loop on the calling thread until stop(), or end_run(). */
void weir_worker_run(struct weir_worker *w);
void weir_worker_end_run(struct weir_worker *w);
/* One turn, which sleeps until there is something, outside run(). */
void weir_worker_run_once(struct weir_worker *w);
/* Stops accepting; running requests go on. [any-thread] */
void weir_worker_drain(struct weir_worker *w);
bool weir_worker_is_drained(const struct weir_worker *w); /* [any-thread] */
/* Aborts what still runs and ends the loop once it is gone. [any-thread] */
void weir_worker_stop(struct weir_worker *w);
/* After stop(): returns when the loop has ended. */
void weir_worker_join(struct weir_worker *w);
void weir_worker_destroy(struct weir_worker *w);
/* Microseconds since the loop last turned. [any-thread] */
uint64_t weir_worker_heartbeat_age_us(const struct weir_worker *w);
uint32_t weir_worker_n_requests(const struct weir_worker *w); /* [any-thread] */

uv_loop_t *weir_worker_loop(struct weir_worker *w);
/* weir_clock_mono_us(), read once in a turn of the loop: what happens in one turn happens at once.
 */
uint64_t weir_worker_now_us(struct weir_worker *w);
struct weir_request_pool *weir_worker_requests(struct weir_worker *w);
struct weir_inbox *weir_worker_inbox(struct weir_worker *w);
struct weir_server *weir_worker_server(struct weir_worker *w);
const struct weir_worker_settings *weir_worker_settings(const struct weir_worker *w);
struct weir_plugin_loop *weir_worker_plugin_loop(struct weir_worker *w);
/* The chain in force, borrowed: until the loop turns. */
struct weir_plugin_chain *weir_worker_chain(struct weir_worker *w);
/* An empty buffer for text that is made and handed on within one call. All requests share it: its
 * memory stays in the processor's cache. Bound: max_response_bytes. */
struct weir_buf *weir_worker_scratch(struct weir_worker *w);
/* Of all replies that are made on this loop. */
struct weir_reply_frame *weir_worker_reply_frame(struct weir_worker *w);
struct weir_random *weir_worker_random(struct weir_worker *w);
/* For weir_replay_key(). */
struct weir_replay_secret *weir_worker_replay_secret(struct weir_worker *w);
/* Gives back what chain() keeps, before the plugin host ends. A worker whose loop ends does so
 * itself. */
void weir_worker_leave_plugins(struct weir_worker *w);
struct weir_observer *weir_worker_observer(struct weir_worker *w);
const struct weir_models *weir_worker_models(struct weir_worker *w);
const struct weir_routes *weir_worker_routes(const struct weir_worker *w);
const struct weir_config_gateway *weir_worker_gateway(const struct weir_worker *w);
bool weir_worker_is_draining(const struct weir_worker *w);
