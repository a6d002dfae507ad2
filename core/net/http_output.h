/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The bytes that a connection still has to send, encrypted where the client speaks TLS.
 *
 * Why: a response is built from many small pieces; they are gathered and leave in one system call
 * per turn of the loop, directly while the kernel takes them and through libuv's queue when not.
 * With TLS a record is made when the last one has left, so that what is pending counts plain bytes.
 * Ownership: owns both buffers; `stream` and `tls` are borrowed.
 * Threads: [loop-thread].
 * Errors: libuv's codes mean that the connection is broken.
 * Invariant: `flight` is untouched while is_flying; pending = fill + sealed + what libuv has
 * queued. */
#include <stdbool.h>
#include <uv.h>

#include "base/buf.h"
#include "core/net/http_limits.h"
#include "core/net/tls.h"

struct weir_http_output;
typedef void (*weir_http_output_cb)(struct weir_http_output *out, int status);

struct weir_http_output {
    uv_stream_t *stream;
    int fd;                 /* of the stream */
    struct weir_buf fill;   /* gathered in this turn */
    struct weir_buf flight; /* given to uv_write */
    struct weir_tls *tls;   /* NULL: none */
    size_t n_sealed;        /* plain bytes in the TLS output that no system call has taken */
    uv_write_t write;
    weir_http_output_cb on_written; /* flight is empty again, or status < 0 */
    bool is_flying;
    size_t n_flying;  /* bytes given to uv_write */
    size_t n_plain;   /* of these, plain bytes, where there is TLS */
    uint64_t n_given; /* bytes ever added to fill */
    uint64_t n_taken; /* of these, what the kernel took, without the flight under way */

    uint64_t n_taken_seen; /* for the stall clock */
    uint64_t stall_start_ms;
};

void weir_http_output_init(struct weir_http_output *out, size_t max_pending_bytes);
void weir_http_output_finish(struct weir_http_output *out);
/* For a new connection on `stream`. */
void weir_http_output_open(struct weir_http_output *out, uv_stream_t *stream, struct weir_tls *tls,
                           weir_http_output_cb on_written);
/* Gives large buffers back; call when nothing is pending. */
void weir_http_output_trim(struct weir_http_output *out);

void weir_http_output_add(struct weir_http_output *out, const void *bytes, size_t n_bytes);
size_t weir_http_output_pending(const struct weir_http_output *out);
/* Of all bytes ever given, those that the kernel has taken. */
uint64_t weir_http_output_taken(const struct weir_http_output *out);
/* How many bytes fit before max_pending_bytes. */
size_t weir_http_output_room(const struct weir_http_output *out);
/* Sends what the kernel takes now and queues the rest. 0, or libuv's error. */
int weir_http_output_flush(struct weir_http_output *out);
/* How long the peer has taken nothing while something was pending, as of now_ms; 0 when it moves.
 * Call it at every tick. */
uint64_t weir_http_output_stalled_ms(struct weir_http_output *out, uint64_t now_ms);
