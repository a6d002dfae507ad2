/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One HTTP request and its response, as a handler sees them.
 *
 * Why: a handler reads a complete, checked request and writes one response; sockets, framing,
 * keep-alive and pipelining stay behind this handle.
 * Ownership: the server owns the exchange. The handle, its strings and its arena are valid from
 * on_headers until on_closed returns. Bytes that a handler passes in are copied.
 * Threads: all [loop-thread], the thread that runs the server's loop.
 * Errors: WEIR_E_ARG for calls out of order or fields that HTTP cannot carry, WEIR_E_GONE when the
 * exchange is ending (on_closed will come or is running), WEIR_E_TOOBIG and WEIR_E_NOMEM.
 * Invariants: no function here calls back into the handler. At most one response per exchange. */
#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "weir/types.h"

struct weir_http_exchange;

/* The request. Strings are never NUL-ended promises; empty when absent. */

weir_str weir_http_method(const struct weir_http_exchange *ex); /* "GET"; upper case */
/* As sent, still percent-encoded, checked to be valid; "*" for OPTIONS *. */
weir_str weir_http_path(const struct weir_http_exchange *ex);
/* What follows the '?', still percent-encoded. */
weir_str weir_http_query(const struct weir_http_exchange *ex);
/* Host with port, from Host or the absolute target. */
weir_str weir_http_authority(const struct weir_http_exchange *ex);
int weir_http_version_minor(const struct weir_http_exchange *ex); /* 0 or 1 */
/* IP address of the peer without port; "unix" for a Unix socket. */
weir_str weir_http_peer(const struct weir_http_exchange *ex);

/* The first field of that name (any case); empty when absent. */
weir_str weir_http_header_named(const struct weir_http_exchange *ex, weir_str name);
/* Inline, so that the compiler knows a literal's length. */
static inline weir_str weir_http_header(const struct weir_http_exchange *ex, const char *name)
{
    return weir_http_header_named(ex, weir_str_from(name));
}
size_t weir_http_n_headers(const struct weir_http_exchange *ex);
/* The i-th field in order of arrival, i < n_headers; the name is as sent. */
void weir_http_header_at(const struct weir_http_exchange *ex, size_t i, weir_str *ret_name,
                         weir_str *ret_value);

/* Complete from on_request on; NUL-ended for parsers that look one byte further. */
weir_str weir_http_body(const struct weir_http_exchange *ex);

/* Memory that lives as long as the exchange. */
struct weir_arena *weir_http_arena(struct weir_http_exchange *ex);
void weir_http_set_user(struct weir_http_exchange *ex, void *user);
void *weir_http_user(const struct weir_http_exchange *ex);

/* The response. */

/* Adds a field to the response that has not begun yet. Date, Connection, Content-Length,
 * Transfer-Encoding and fields with control characters are refused: WEIR_E_ARG. */
int weir_http_add_header(struct weir_http_exchange *ex, weir_str name, weir_str value);
/* The same for a field whose name stands in the program and whose value was made or checked there,
 * so that it need not be looked at again. */
int weir_http_add_own_header(struct weir_http_exchange *ex, weir_str name, weir_str value);
/* Has a field of that name (any case) been added? */
bool weir_http_has_header(const struct weir_http_exchange *ex, const char *name);
/* retry-after in whole seconds, and retry-after-ms, which the OpenAI clients prefer. */
void weir_http_add_retry_after(struct weir_http_exchange *ex, uint64_t retry_after_us);

/* A whole response; status 200..599. HEAD, 204 and 304 send no body. A response that is sent
 * before the request is complete closes the connection after it. */
int weir_http_respond(struct weir_http_exchange *ex, int status, weir_str body);

/* A response of unknown length: begin, any number of writes, end. Chunked for HTTP/1.1, ended by
 * the close of the connection for HTTP/1.0. */
int weir_http_stream_begin(struct weir_http_exchange *ex, int status);
/* A write is near: what it needs is asked for meanwhile. */
void weir_http_stream_expect(const struct weir_http_exchange *ex);
/* 0: go on. 1: the bytes were taken, but the client is slow; wait for on_writable. All writes of
 * one turn of the loop leave in one system call. Empty bytes are fine and send nothing. */
int weir_http_stream_write(struct weir_http_exchange *ex, weir_str bytes);
int weir_http_stream_end(struct weir_http_exchange *ex);

/* Fields behind a stream: HTTP/1.1 clients that said `TE: trailers` get them. add_trailer is for a
 * stream that has begun and not ended; else, and for other clients, WEIR_E_ARG. */
bool weir_http_takes_trailers(const struct weir_http_exchange *ex);
int weir_http_add_trailer(struct weir_http_exchange *ex, weir_str name, weir_str value);

/* Closes the connection without completing the response, so that the client can tell. on_closed
 * follows from the loop. */
void weir_http_abort(struct weir_http_exchange *ex);

bool weir_http_response_begun(const struct weir_http_exchange *ex);
/* Response bytes that the kernel has not taken yet. */
size_t weir_http_pending_bytes(const struct weir_http_exchange *ex);
/* Positions in the bytes of the connection, to tell when the kernel has taken a piece: `given` is
 * behind the last byte handed in, `taken` behind the last that the kernel took. */
uint64_t weir_http_given_bytes(const struct weir_http_exchange *ex);
uint64_t weir_http_taken_bytes(const struct weir_http_exchange *ex);
/* Response body bytes given so far (without framing). */
uint64_t weir_http_sent_bytes(const struct weir_http_exchange *ex);
