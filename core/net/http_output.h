/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The bytes that a connection still has to send, encrypted where the client speaks TLS.
 *
 * Why: a response is built from many small pieces; they are gathered and leave in one system call
 * per turn of the loop, and what the kernel does not take then when it has room again. With TLS a
 * record is made when the last one has left, so that what is pending counts plain bytes.
 * Ownership: owns the buffer; `socket` and `tls` are borrowed.
 * Threads: [loop-thread].
 * Errors: libuv's codes mean that the connection is broken. */
#include <stdbool.h>

#include "base/buf.h"
#include "base/sockets.h"
#include "core/net/http_limits.h"
#include "core/net/tls.h"

struct weir_http_output {
    struct weir_socket *socket;
    struct weir_tls *tls; /* NULL: none */
    /* Plain bytes that no system call and no record has taken, behind n_gone. What is to be sent
     * is added here. */
    struct weir_buf fill;
    size_t max_pending_bytes;
    size_t n_gone;    /* bytes at the front of fill, or of the TLS output, that have left */
    size_t n_sealed;  /* plain bytes in the TLS output, which has not left whole */
    uint64_t n_taken; /* plain bytes that the kernel took; a record's when all of it has left */
    uint64_t n_moved; /* bytes that the kernel took, as they stand on the wire */

    uint64_t n_moved_seen; /* for the stall clock */
    uint64_t stall_start_ms;
};

void weir_http_output_init(struct weir_http_output *out, size_t max_pending_bytes);
void weir_http_output_finish(struct weir_http_output *out);
/* For a new connection on `socket`. */
void weir_http_output_open(struct weir_http_output *out, struct weir_socket *socket,
                           struct weir_tls *tls);
/* Gives large buffers back; call when nothing is pending. */
void weir_http_output_trim(struct weir_http_output *out);

size_t weir_http_output_pending(const struct weir_http_output *out);
/* All bytes ever given, and those of them that the kernel has taken. */
uint64_t weir_http_output_given(const struct weir_http_output *out);
uint64_t weir_http_output_taken(const struct weir_http_output *out);
/* How many bytes fit before max_pending_bytes. */
size_t weir_http_output_room(const struct weir_http_output *out);
/* Sends what the kernel takes now; call again when the socket is writable. 0, or libuv's error. */
int weir_http_output_flush(struct weir_http_output *out);
/* How long the peer has taken nothing while something was pending, as of now_ms; 0 when it moves.
 * Call it at every tick. */
uint64_t weir_http_output_stalled_ms(struct weir_http_output *out, uint64_t now_ms);
