/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What differs between HTTP/1.1 and HTTP/2, as a table of functions. Private to core/net.
 *
 * Why: sockets, TLS, output, deadlines of a whole connection and everything that a handler calls
 * are the same for both; framing and the number of exchanges are not. http1.c and http2.c fill one
 * table each, and nothing else asks which protocol a connection speaks.
 * Ownership: constant data. Threads: [loop-thread].
 * Errors: as weir/types.h; functions of a connection may close it, and then it is still there but
 * CLOSED until the loop has run the close callback. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/types.h"

struct weir_http_connection;
struct weir_http_exchange;
enum weir_http_end;
enum weir_http_problem;

enum { WEIR_HTTP_NO_LENGTH = -1 };
enum { WEIR_HTTP_OVERHEAD_BYTES = 512 }; /* status line and the server's own fields */

struct weir_http_protocol {
    /* The connection. */

    /* Bytes of the client, already decrypted. Takes all of them. */
    void (*take_input)(struct weir_http_connection *c, const char *bytes, size_t n);
    /* The client has closed its side, or the socket broke. */
    void (*take_end)(struct weir_http_connection *c, bool is_error);
    /* Puts into the output what may leave now; negative: the connection is broken. NULL: nothing
     * waits elsewhere. */
    int (*fill)(struct weir_http_connection *c);
    /* The kernel has taken something, or would have. */
    void (*sent)(struct weir_http_connection *c);
    /* Deadlines, not those of the lingering close. */
    void (*tick)(struct weir_http_connection *c, uint64_t now_ms);
    void (*drain)(struct weir_http_connection *c);
    /* Answers `problem` in place of any request, and closes after it. */
    void (*refuse)(struct weir_http_connection *c, enum weir_http_problem problem);
    /* The connection is CLOSED: every exchange ends with `why` and is given back. */
    void (*close)(struct weir_http_connection *c, enum weir_http_end why);

    /* One exchange. Its response is open, arguments are checked. */

    /* Sends status and the fields in ex->fields. `n_body`: WEIR_HTTP_NO_LENGTH for a stream. Sets
     * hides_body, and empties ex->fields for trailers. */
    int (*begin)(struct weir_http_exchange *ex, int status, int64_t n_body);
    void (*write)(struct weir_http_exchange *ex, weir_str bytes); /* not empty */
    void (*end)(struct weir_http_exchange *ex); /* with the trailers in ex->fields */
    /* Memory ran out, or the handler gives up: what was begun must not look complete. */
    void (*abort)(struct weir_http_exchange *ex);
    bool (*is_broken)(const struct weir_http_exchange *ex); /* aborted, or an append failed */
    size_t (*room)(const struct weir_http_exchange *ex);    /* bytes that may still be given */
    size_t (*pending)(const struct weir_http_exchange *ex); /* not taken by the kernel */
    uint64_t (*given)(const struct weir_http_exchange *ex);
    uint64_t (*taken)(const struct weir_http_exchange *ex);
};

extern const struct weir_http_protocol weir_http1;
extern const struct weir_http_protocol weir_http2;
