/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* An HTTP/1.1 and HTTP/2 server on one libuv loop, with or without TLS.
 *
 * Why: a worker is one thread, one loop, one server per address with SO_REUSEPORT, and shares
 * nothing; the kernel spreads connections over workers.
 * What it does alone: strict parsing (llhttp without any lenient flag; nghttp2), limits, timeouts,
 * keep-alive, pipelining in order, 100-continue, backpressure, lingering close, drain. A handler
 * cannot tell the protocols apart. It knows nothing of routes or of what bodies mean.
 * Ownership: the caller owns the loop and the handler's user pointer; both outlive the server.
 * Threads: all [loop-thread]. The process ignores SIGPIPE (main's business).
 * Errors: WEIR_E_*; a sentence for addresses that cannot be bound.
 * Invariants: every exchange that was announced by on_headers gets exactly one on_closed. */
#include "base/buf.h"
#include "base/error.h"
#include "core/net/http_exchange.h"
#include "core/net/http_limits.h"
#include "core/net/http_problem.h"

struct uv_loop_s;
struct weir_http_server;
struct weir_tls_context;

/* Why an exchange ended. */
enum weir_http_end {
    WEIR_HTTP_END_DONE,        /* the kernel took the whole response */
    WEIR_HTTP_END_CLIENT_GONE, /* the client closed or reset before that */
    WEIR_HTTP_END_STALLED,     /* the client stopped reading: write_stall_timeout_ms */
    WEIR_HTTP_END_REJECTED,    /* the body was bad, too large or too slow; the server answered */
    WEIR_HTTP_END_ABORTED      /* weir_http_abort, or the server was destroyed */
};

/* Callbacks, from the loop only, never from inside a weir_http_* call except
 * weir_http_server_destroy. A handler may respond in on_headers, in on_request or any time later;
 * it need not respond before it returns. NULL fields other than on_request are skipped. */
struct weir_http_handler {
    /* The header is complete and acceptable. A handler that will not take the request responds
     * here (the body may not have arrived); otherwise it returns and on_request follows. */
    void (*on_headers)(void *user, struct weir_http_exchange *ex);
    /* The body is complete. Not called when a response has begun. */
    void (*on_request)(void *user, struct weir_http_exchange *ex);
    /* weir_http_stream_write returned 1 before, and there is room again. */
    void (*on_writable)(void *user, struct weir_http_exchange *ex);
    /* The kernel may have taken response bytes: see weir_http_taken_bytes. Before on_writable and
     * on_closed. */
    void (*on_sent)(void *user, struct weir_http_exchange *ex);
    /* Last sight of the exchange. Requests that are rejected before on_headers have none. */
    void (*on_closed)(void *user, struct weir_http_exchange *ex, enum weir_http_end why);
    /* The server answers a bad request itself: writes the body (JSON), may add headers to the
     * exchange, of which the request part may be empty. NULL: the OpenAI error shape. */
    void (*on_problem)(void *user, struct weir_http_exchange *ex,
                       const struct weir_http_problem_info *problem, struct weir_buf *ret_body);
    /* After weir_http_server_drain: the last connection has gone. */
    void (*on_drained)(void *user);
};

struct weir_http_stats {
    uint64_t n_accepted;    /* connections */
    uint64_t n_requests;    /* exchanges announced */
    uint64_t n_rejected;    /* answered by the server itself */
    uint64_t n_client_gone; /* exchanges that the client left */
    uint64_t n_stalled;     /* exchanges ended because the client stopped reading */
    uint64_t in_bytes;
    uint64_t out_bytes;
    uint32_t n_connections;
    uint32_t n_running; /* exchanges between on_headers and on_closed */
};

/* `limits` and `handler` are copied. */
WEIR_NODISCARD int weir_http_server_create(struct uv_loop_s *loop,
                                           const struct weir_http_limits *limits,
                                           const struct weir_http_handler *handler, void *user,
                                           struct weir_http_server **ret_server);

/* Listens on `address`: "127.0.0.1:8080", "[::1]:8080", "localhost:0", ":8080" (all IPv4 and IPv6
 * addresses), or "unix:/path". May be called for several addresses. TCP sockets have SO_REUSEPORT,
 * so several workers may listen on one address. *ret_port (NULL ok) gets the bound port, which
 * matters for port 0; 0 for a Unix socket. */
WEIR_NODISCARD int weir_http_server_listen(struct weir_http_server *server, const char *address,
                                           uint16_t *ret_port, struct weir_error *err);
/* Listens where `first` does already, on the same socket: for Unix sockets, whose path only one can
 * bind. Before either loop runs. The path is removed when `first` stops listening. */
WEIR_NODISCARD int weir_http_server_listen_along(struct weir_http_server *server,
                                                 const struct weir_http_server *first,
                                                 const char *address, struct weir_error *err);

/* TCP addresses that are listened on from now on speak TLS with this context, which outlives the
 * server; NULL: plain again. Unix sockets are always plain. */
void weir_http_server_use_tls(struct weir_http_server *server, struct weir_tls_context *context);

/* Stops listening, closes idle connections; running exchanges finish and their connections close.
 * on_drained tells the end (from the loop). Calling it again does nothing. */
void weir_http_server_drain(struct weir_http_server *server);
bool weir_http_server_is_empty(const struct weir_http_server *server); /* no connection left */

/* Ends every exchange (on_closed with ABORTED, before this returns) and closes every handle. The
 * memory goes when the loop has run the close callbacks. Not from inside a callback. NULL ok. */
void weir_http_server_destroy(struct weir_http_server *server);

const struct weir_http_stats *weir_http_server_stats(const struct weir_http_server *server);
