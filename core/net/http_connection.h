/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One client connection: reads requests one after the other, sends their responses in order.
 * Private to core/net.
 *
 * Why: keep-alive, pipelining, early answers, slow and vanishing clients are one state machine;
 * it lives here so that parsing (http_parser.h) and response framing (http_response.c) need not
 * know of it.
 * Ownership: the server owns connections and exchanges, both pooled; a connection has at most one
 * exchange. Memory is given back in the handle's close callback only.
 * Threads: [loop-thread].
 * Errors: a broken connection is closed; its exchange ends with the reason.
 * Invariants: handlers are called from loop callbacks only; state CLOSED is final; an announced
 * exchange is ended by weir_http_connection_end_exchange() exactly once. */
#include <sys/queue.h> /* LIST_*: O(1) removal without the head */

#include "core/net/http_output.h"
#include "core/net/http_parser.h"
#include "core/net/http_server.h"

/* IDLE -> HEAD -> BODY -> RUN -> IDLE again, or LINGER; from any of them CLOSED. A request without
 * a body, or one that arrived whole, passes BODY in one step. */
enum weir_http_state {
    WEIR_HTTP_IDLE,   /* between requests */
    WEIR_HTTP_HEAD,   /* a request line has begun */
    WEIR_HTTP_BODY,   /* announced, the body is arriving */
    WEIR_HTTP_RUN,    /* request complete or answered early; the response is not all sent */
    WEIR_HTTP_LINGER, /* last response sent; reading away until the client closes */
    WEIR_HTTP_CLOSED
};

enum weir_http_reply {
    WEIR_HTTP_REPLY_NONE,
    WEIR_HTTP_REPLY_STREAM,
    WEIR_HTTP_REPLY_ENDED /* all bytes are in the output */
};

struct weir_http_exchange {
    struct weir_http_request request;
    struct weir_arena arena;
    struct weir_buf fields; /* response header fields, ready to send */
    struct weir_http_connection *connection;
    struct weir_http_exchange *next_free;
    void *user;
    uint64_t n_sent; /* response body bytes */
    enum weir_http_reply reply;
    bool is_announced;
    bool is_ended; /* on_closed has been called, or is running */
    bool is_chunked;
    bool hides_body; /* HEAD, 204, 304 */
    bool is_paused;  /* the producer waits for on_writable */
};

struct weir_http_connection {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } io;
    struct weir_http_server *server;
    LIST_ENTRY(weir_http_connection) all;
    LIST_ENTRY(weir_http_connection) dirty; /* needs a flush in this turn */
    struct weir_http_connection *next_free;

    enum weir_http_state state;
    struct weir_http_parser parser;
    struct weir_http_exchange *exchange;
    struct weir_buf stash; /* read, but belongs to later requests */
    struct weir_http_output out;
    uv_shutdown_t shutdown;

    uint64_t deadline_ms;   /* IDLE, HEAD, LINGER */
    uint64_t body_start_ms; /* BODY */
    uint64_t body_last_ms;
    size_t n_lingered;  /* bytes read away */
    uint64_t n_counted; /* of out.n_given, in the server's statistics */
    uint32_t n_requests;
    bool is_dirty;
    bool is_reading;
    bool is_aborted;   /* close at the next flush */
    bool is_last;      /* close after this response */
    bool has_peer_end; /* the client has closed its side */
    bool sent_continue;
    char peer[48];
};

/* Takes a connection whose handle has just been accepted. */
void weir_http_connection_open(struct weir_http_connection *c);
/* Closes at once; the exchange, if any, ends with `why`. */
void weir_http_connection_close(struct weir_http_connection *c, enum weir_http_end why);
/* Sends what is pending and moves on: to the next request, on_writable, or the close. */
void weir_http_connection_flush(struct weir_http_connection *c);
/* Deadlines, as of now_ms. */
void weir_http_connection_tick(struct weir_http_connection *c, uint64_t now_ms);
/* The server stops: idle connections close, others after their response. */
void weir_http_connection_drain(struct weir_http_connection *c);
/* Answers `problem` in place of the handler and closes after it. */
void weir_http_connection_refuse(struct weir_http_connection *c, enum weir_http_problem problem);

/* on_closed, once, if the exchange was announced. */
void weir_http_connection_end_exchange(struct weir_http_connection *c, enum weir_http_end why);
/* Starts reading, or goes on with what was read before; the connection is IDLE. */
void weir_http_connection_resume(struct weir_http_connection *c);
void weir_http_connection_set_reading(struct weir_http_connection *c, bool on);
