/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One HTTP/2 connection: a session of nghttp2 and the exchanges that run on it. Private to
 * core/net.
 *
 * Why: nghttp2 knows frames, HPACK, flow control and which messages are malformed. Here is what a
 * server that faces strangers adds: the sizes and times that HTTP/1.1 clients are held to, for each
 * stream; a budget for frames that only make work (resets, PING, SETTINGS, PRIORITY, empty DATA,
 * CONTINUATION); and when a producer has to wait for a client that opens no window.
 * Ownership: the session belongs to its connection; exchanges are the server's, linked here from
 * their first header field until nghttp2 has forgotten the stream and the kernel has the response.
 * Threads: [loop-thread].
 * Errors: those of the client end the session with GOAWAY; memory that is missing ends it at once.
 * Bounds: streams by SETTINGS, header lists by max_head_bytes, bodies under way on one connection
 * by four of the largest, output by WEIR_HTTP2_OUT_BYTES and each stream's own pending bytes.
 * Invariants: nghttp2's callbacks never close the connection and never send. */
#include <nghttp2/nghttp2.h>

#include "core/net/http_server_internal.h"

enum {
    WEIR_HTTP2_OUT_BYTES = 64 * 1024, /* frames made ahead of the kernel */
    WEIR_HTTP2_BODIES = 4             /* request bodies, of the largest, under way at once */
};

LIST_HEAD(weir_http_exchange_list, weir_http_exchange);

struct weir_http2_session {
    nghttp2_session *ng;
    struct weir_http_connection *connection;
    struct weir_http_exchange_list exchanges;
    uint32_t n_exchanges;
    size_t n_body_bytes;  /* of all exchanges' requests */
    size_t n_block_bytes; /* decoded, of the header block that is arriving */
    uint32_t n_updates;   /* WINDOW_UPDATEs that sent DATA is good for */
    uint32_t budget;
    uint64_t budget_ms;        /* when it was last filled up */
    uint64_t head_deadline_ms; /* for the preface or a header block; 0: none is arriving */
    uint64_t idle_deadline_ms; /* while there is no exchange */
    uint64_t drain_ms;         /* when the last GOAWAY is due; 0: not draining */
    bool said_last;            /* that GOAWAY was sent; the connection ends with its exchanges */
    bool is_over;              /* the client broke the rules, or was idle: close after GOAWAY */
};

/* Sets nghttp2's callbacks for what the client sends. */
void weir_http2_set_input_callbacks(nghttp2_session_callbacks *callbacks);
void weir_http2_set_output_callbacks(nghttp2_session_callbacks *callbacks);

/* Tells the client why and closes the connection once that is sent. */
void weir_http2_end_session(struct weir_http2_session *s, uint32_t error_code);
/* Takes `cost` from the budget; false when it was overdrawn, and the session ends. */
bool weir_http2_spend(struct weir_http2_session *s, uint32_t cost);

/* Ends the exchange and gives it back; nghttp2 must not know its stream any more. */
void weir_http2_drop(struct weir_http_exchange *ex, enum weir_http_end why);
/* Breaks the stream off. */
void weir_http2_reset(struct weir_http_exchange *ex, uint32_t error_code);
/* The kernel has taken the output up to `position`; true when body bytes were among it. */
bool weir_http2_note_taken(struct weir_http_exchange *ex, uint64_t position);

/* The response, as http_protocol.h has it. */
int weir_http2_begin(struct weir_http_exchange *ex, int status, int64_t n_body);
void weir_http2_write(struct weir_http_exchange *ex, weir_str bytes);
void weir_http2_finish(struct weir_http_exchange *ex);
int weir_http2_fill(struct weir_http_connection *c);
