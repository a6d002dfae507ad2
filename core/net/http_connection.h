/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One client connection: a socket, what is to be sent, and the protocol that is spoken.
 * Private to core/net.
 *
 * Why: accepting, sending, lingering, slow and vanishing clients are the same for every protocol;
 * what is not stands behind http_protocol.h. HTTP/1.1 (http1.c) reads requests one after the other
 * and sends their responses in order; HTTP/2 (http2.c) runs many exchanges side by side.
 * Ownership: the server owns connections and exchanges, both pooled. HTTP/1.1 has at most one
 * exchange, in `exchange`; those of HTTP/2 are in its session. Memory is given back when the socket
 * has told its `closed` only.
 * Threads: [loop-thread].
 * Errors: a broken connection is closed; its exchange ends with the reason.
 * Invariants: handlers are called from loop callbacks only; state CLOSED is final; an announced
 * exchange is ended by weir_http_connection_end_exchange() exactly once. */
#include <sys/queue.h> /* LIST_*: O(1) removal without the head */

#include "core/net/http_output.h"
#include "core/net/http_parser.h"
#include "core/net/http_protocol.h"
#include "core/net/http_server.h"

/* For HTTP/1.1: IDLE -> HEAD -> BODY -> RUN -> IDLE again, or LINGER; from any of them CLOSED. A
 * request without a body, or one that arrived whole, passes BODY in one step. HTTP/2 is in RUN
 * until LINGER. */
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

/* What HTTP/2 keeps of an exchange; see http2.h. */
struct weir_http2_stream {
    LIST_ENTRY(weir_http_exchange) all;
    int32_t id;
    weir_str path;                  /* as kept by the request, see weir_http_request_keep */
    enum weir_http_problem problem; /* of the head, told when all of it has been read */
    struct weir_buf pending;        /* body bytes that no frame holds yet */
    size_t n_read;                  /* of these, already framed */
    uint64_t n_given, n_framed,
        n_taken; /* body bytes: by the handler, into frames, by the kernel */
    struct {
        uint64_t n_framed, out_end; /* when the output has reached out_end, n_framed are taken */
    } marks[2];
    uint32_t n_marks;
    uint64_t body_start_ms, body_last_ms;
    uint64_t n_taken_seen, stall_start_ms;
    bool is_deferred; /* nghttp2 waits for body bytes */
    bool is_aborted;
    bool is_closed; /* nghttp2 knows it no more */
    bool was_sent;  /* all of the response is in frames */
};

struct weir_http2_session;

struct weir_http_exchange {
    /* A stream's write reads and writes this much. Cleared between requests, as is h2. */
    struct weir_http_connection *connection;
    void *user;
    uint64_t n_sent; /* response body bytes */
    enum weir_http_reply reply;
    bool is_announced;
    bool is_ended; /* on_closed has been called, or is running */
    bool is_chunked;
    bool hides_body; /* HEAD, 204, 304 */
    bool is_paused;  /* the producer waits for on_writable */

    struct weir_http_request request;
    struct weir_arena arena;
    struct weir_buf fields; /* response header fields, ready to send */
    struct weir_http_exchange *next_free;
    struct weir_http2_stream h2;
};

struct weir_http_connection {
    struct weir_socket socket;
    struct weir_http_server *server;
    const struct weir_http_protocol *protocol;
    struct weir_http_exchange *exchange;
    LIST_ENTRY(weir_http_connection) dirty; /* has something to send in this turn */
    struct weir_tls *tls;                   /* NULL: plain */
    struct weir_http2_session *h2;          /* NULL: HTTP/1.1 */
    enum weir_http_state state;
    bool is_dirty;
    bool has_sent;
    bool is_unix;
    bool is_decided;   /* which protocol it is */
    bool is_aborted;   /* close at the next flush */
    bool is_last;      /* close after this response */
    bool has_peer_end; /* the client has closed its side */
    bool sent_continue;
    struct weir_http_output out;
    uint64_t n_counted;             /* of the bytes given to `out`, in the server's statistics */
    struct weir_http_parser parser; /* all above is read with each event of a stream */

    LIST_ENTRY(weir_http_connection) all;
    LIST_ENTRY(weir_http_connection) sent; /* and has sent it */
    struct weir_http_connection *next_free;
    struct weir_buf stash;  /* read, but belongs to later requests, or could be either protocol */
    uint64_t deadline_ms;   /* IDLE, HEAD, LINGER */
    uint64_t body_start_ms; /* BODY */
    uint64_t body_last_ms;
    size_t n_lingered; /* bytes read away */
    uint32_t n_requests;
    char peer[48];
};

enum { WEIR_HTTP_CONNECTION_NEAR = offsetof(struct weir_http_connection, parser) };

/* Takes a socket that has just been accepted from `peer`; negative errno: it does not. */
int weir_http_connection_open(struct weir_http_connection *c, int fd,
                              const struct sockaddr_storage *peer);
/* Closes at once; its exchanges end with `why`. */
void weir_http_connection_close(struct weir_http_connection *c, enum weir_http_end why);
/* All is sent: closes our half and reads away what the client still sends, for a while. */
void weir_http_connection_linger(struct weir_http_connection *c);
/* Counts n bytes that were read and dropped; closes when they are too many. */
void weir_http_connection_read_away(struct weir_http_connection *c, size_t n);
/* Sends what is pending, as far as the kernel takes it. False: the connection was closed. */
bool weir_http_connection_send(struct weir_http_connection *c);
/* After send(): goes on, to the next request, on_writable, or the close. */
void weir_http_connection_sent(struct weir_http_connection *c);
/* Deadlines, as of now_ms. */
void weir_http_connection_tick(struct weir_http_connection *c, uint64_t now_ms);
/* The server stops: idle connections close, others after their responses. */
void weir_http_connection_drain(struct weir_http_connection *c);
/* Has the kernel bytes of a request that we have not read? */
bool weir_http_connection_has_unread(const struct weir_http_connection *c);
void weir_http_connection_set_reading(struct weir_http_connection *c, bool on);

/* HTTP/1.1: starts reading, or goes on with what was read before; the connection is IDLE. */
void weir_http1_resume(struct weir_http_connection *c);
void weir_http1_take_input(struct weir_http_connection *c, const char *bytes, size_t n);
/* HTTP/1.1: answers `problem` in place of the handler and closes after it. */
void weir_http1_refuse(struct weir_http_connection *c, enum weir_http_problem problem);

/* HTTP/2: makes the connection's session; 0 or WEIR_E_NOMEM. */
int weir_http2_open(struct weir_http_connection *c);
void weir_http2_session_destroy(struct weir_http2_session *s); /* NULL ok */

/* The exchange is complete enough to be seen: on_headers. */
void weir_http_exchange_announce(struct weir_http_exchange *ex);
/* on_closed, once, if the exchange was announced. */
void weir_http_exchange_end(struct weir_http_exchange *ex, enum weir_http_end why);
/* Responds with the problem, as the server; the handler sees REJECTED. Negative: no response. */
int weir_http_exchange_reject(struct weir_http_exchange *ex, enum weir_http_problem problem);
/* on_sent, and on_writable when there is room again. */
void weir_http_exchange_sent(struct weir_http_exchange *ex);
/* Is the body slower than the limits allow? */
bool weir_http_body_is_slow(const struct weir_http_exchange *ex, uint64_t start_ms,
                            uint64_t last_ms, uint64_t now_ms);
