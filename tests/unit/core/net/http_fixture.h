/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A server and raw clients on one loop, so that a test decides the order of everything.
 *
 * Ownership: the fixture owns loop, server and clients; fixture_finish() closes all and fails the
 * test when the loop does not close clean. Threads: none. */
#include <uv.h>

#include "base/buf.h"
#include "core/net/http_server.h"

enum { FIXTURE_MAX_CLIENTS = 4 };

struct fixture;

struct client {
    uv_tcp_t tcp;
    uv_connect_t connect;
    struct fixture *fixture;
    struct weir_buf received;
    bool is_open;
    bool is_connected;
    bool has_end; /* the server closed or reset */
    bool was_reset;
};

struct fixture {
    uv_loop_t loop;
    uv_timer_t guard;
    bool guard_fired;
    struct weir_http_limits limits;
    struct weir_http_server *server;
    uint16_t port;
    struct client clients[FIXTURE_MAX_CLIENTS];
    size_t n_clients;

    /* What the handler does and has seen. "/hold" answers nothing and sets `held`; "/early"
     * answers 401 in on_headers; anything else is answered with 200 and "METHOD path nbody\n". */
    struct weir_http_exchange *held;
    size_t n_headers;
    size_t n_requests;
    size_t n_writable;
    uint64_t given, taken; /* by the last on_sent or on_closed of the held exchange */
    size_t n_closed;
    enum weir_http_end last_end;
    bool is_drained;
};

/* Limits as they are in f->limits; call fixture_init, change them, then fixture_start. */
void fixture_init(struct fixture *f);
void fixture_start(struct fixture *f);
void fixture_finish(struct fixture *f);

struct client *fixture_connect(struct fixture *f);
void client_send(struct client *c, const void *bytes, size_t n);
void client_send_text(struct client *c, const char *text);
void client_close(struct client *c);
void client_stop_reading(struct client *c);
void client_start_reading(struct client *c);
/* How often `text` is in what the client received. */
size_t client_count(const struct client *c, const char *text);
bool client_has(const struct client *c, const char *text);

/* Runs the loop until the condition holds; false after 10 s. */
#define RUN_UNTIL(f, condition)                                                                    \
    do {                                                                                           \
        fixture_arm(f);                                                                            \
        while (!(condition) && !(f)->guard_fired) {                                                \
            uv_run(&(f)->loop, UV_RUN_ONCE);                                                       \
        }                                                                                          \
        assert_false((f)->guard_fired);                                                            \
    } while (0)

void fixture_arm(struct fixture *f);
