/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Every size and time that a client of the HTTP server is held to.
 *
 * Why: a server that faces strangers bounds what each of them can take; all bounds stand in one
 * place so that configuration can set them and tests can make them small.
 * Ownership: a value. Threads: none. */
#include <stddef.h>
#include <stdint.h>

struct weir_http_limits {
    size_t max_target_bytes;    /* request target; beyond: 414 */
    size_t max_head_bytes;      /* request line and header fields; beyond: 431. Also what chunk
                                   framing, chunk extensions and trailers may take in all, on top
                                   of as many bytes as the body itself has; beyond: 400 */
    size_t max_headers;         /* header fields; beyond: 431 */
    size_t max_body_bytes;      /* beyond: 413 */
    size_t max_pipelined_bytes; /* kept while a request runs; then the socket is not read */
    size_t max_pending_bytes;   /* response bytes that the client has not taken; beyond: an error
                                   to the handler. Bounds a whole response too */
    size_t pending_high_bytes;  /* above: the producer is told to pause */
    size_t pending_low_bytes;   /* at or below: on_writable */
    size_t arena_bytes;         /* the exchange's arena */

    uint32_t max_connections;             /* beyond: 503 and close; also requests that run at once,
                                             where HTTP/2 has many on a connection: 503 */
    uint32_t max_streams;                 /* requests at once on one HTTP/2 connection;
                                             0: HTTP/1.1 only */
    uint32_t max_requests_per_connection; /* 0: no limit */

    uint32_t header_timeout_ms;      /* first byte to end of header, absolute; 408 */
    uint32_t body_idle_timeout_ms;   /* between two pieces of a body; 408 */
    uint32_t body_grace_ms;          /* then the mean rate of the body counts */
    uint32_t min_body_bytes_per_s;   /* 0: any rate; 408 */
    uint32_t keepalive_timeout_ms;   /* between requests; silent close */
    uint32_t write_stall_timeout_ms; /* a client that takes nothing for so long is ended */
    uint32_t linger_timeout_ms;      /* after the last response: waiting for the client's close */
    size_t linger_bytes;             /* and reading away at most so much */
};

/* Values for a server that faces the internet. */
void weir_http_limits_init(struct weir_http_limits *limits);
