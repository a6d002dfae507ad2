/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of core/net share of the server. Private to core/net.
 *
 * Ownership: pools keep finished connections and exchanges up to a bound, so that a steady load
 * makes no malloc. Threads: [loop-thread]. */
#include <sys/un.h>

#include "core/net/http_connection.h"
#include "core/net/http_date.h"

enum {
    WEIR_HTTP_PLAIN_BYTES = 16 * 1024, /* one TLS record */
    WEIR_HTTP_MAX_LISTENERS = 8
};

LIST_HEAD(weir_http_connection_list, weir_http_connection);

struct weir_http_listener {
    uv_poll_t poll; /* for connections that wait in the kernel */
    int fd;
    struct weir_http_server *server;
    bool is_unix;
    bool is_open;
    struct weir_tls_context *tls; /* NULL: plain */
    bool is_waiting;              /* connections may be there, but no room for them */
    bool owns_path;               /* and removes it */
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* is_unix */
};

struct weir_http_server {
    uv_loop_t *loop;
    struct weir_sockets sockets; /* of all connections */
    struct weir_http_limits limits;
    struct weir_http_handler handler;
    void *user;

    struct weir_tls_context *tls; /* of the next listeners */
    struct weir_http_listener listeners[WEIR_HTTP_MAX_LISTENERS];
    size_t n_listeners;
    uv_prepare_t flusher; /* before the loop sleeps: sends what this turn produced */
    uv_idle_t spinner;    /* runs when the flusher has left work for the next turn */
    uv_timer_t ticker;    /* runs while there are connections */
    uint64_t tick_ms;
    uint64_t last_tick_ms;
    bool skips_tick;
    size_t n_handles; /* not yet closed; the memory goes with the last */

    struct weir_http_connection_list all;
    struct weir_http_connection_list dirty, sent;
    struct weir_http_connection *free_connections;
    struct weir_http_exchange *free_exchanges;
    size_t n_free_connections;
    size_t n_free_exchanges;

    struct weir_http_date date;
    struct weir_http_stats stats;
    bool is_draining;
    bool is_drained; /* on_drained has been called */
    bool is_destroyed;
    char plain_buf[WEIR_HTTP_PLAIN_BYTES]; /* decrypted, used up as it is read */
    int spare_fd; /* given up for a moment when no descriptor is left; -1: none */
};

/* NULL: no memory. */
struct weir_http_connection *weir_http_server_take_connection(struct weir_http_server *s);
void weir_http_server_give_connection(struct weir_http_server *s, struct weir_http_connection *c);
struct weir_http_exchange *weir_http_server_take_exchange(struct weir_http_server *s);
void weir_http_server_give_exchange(struct weir_http_server *s, struct weir_http_exchange *ex);
void weir_http_server_free_pools(struct weir_http_server *s);

/* The connection has output, or has been aborted: look after it before the loop sleeps. */
void weir_http_server_mark_dirty(struct weir_http_connection *c);
/* Counts a connection whose socket is in the set. */
void weir_http_server_add_connection(struct weir_http_server *s, struct weir_http_connection *c);
/* The connection's socket has told `closed`. */
void weir_http_server_forget(struct weir_http_connection *c);
/* One handle less; perhaps the server is drained, or gone. */
void weir_http_server_handle_closed(struct weir_http_server *s);

/* Takes the connections that the kernel has already made; closing a listener would reset them. */
void weir_http_server_accept_backlog(struct weir_http_server *s);
/* The descriptor that is kept for when there is none. */
void weir_http_server_open_spare(struct weir_http_server *s);
void weir_http_server_close_spare(struct weir_http_server *s);
void weir_http_server_close_listeners(struct weir_http_server *s);
/* There is room again for connections that wait. */
void weir_http_server_retry_accept(struct weir_http_server *s);
