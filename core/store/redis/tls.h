/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* TLS over memory: bytes from and to a socket that somebody else reads and writes.
 *
 * The server's certificate and its name are always verified. Ownership: a context outlives its
 * sessions. Threads: a context [any]; a session one thread. Errors: WEIR_E_* with a sentence. */
#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"

struct weir_redis_tls_context;
struct weir_redis_tls;

/* ca: a file of certificates, NULL for the system's; cert and key: both or none. */
int weir_redis_tls_context_create(const char *ca, const char *cert, const char *key,
                                  struct weir_redis_tls_context **ret_context,
                                  struct weir_error *err);
void weir_redis_tls_context_destroy(struct weir_redis_tls_context *context); /* NULL ok */

/* name: of the server, or its address. */
int weir_redis_tls_create(struct weir_redis_tls_context *context, const char *name,
                          struct weir_redis_tls **ret_tls);
void weir_redis_tls_destroy(struct weir_redis_tls *tls); /* NULL ok */

/* Bytes that came from the socket. */
int weir_redis_tls_feed(struct weir_redis_tls *tls, const char *bytes, size_t n_bytes);
/* The next plain bytes: their count, 0 for none now, WEIR_E_FORMAT when the session has failed;
 * goes on with the handshake. */
int weir_redis_tls_read(struct weir_redis_tls *tls, char *to, size_t cap);
/* Encrypts all of `plain` when the handshake is over, and moves to `out` what the socket should
 * get. */
int weir_redis_tls_write(struct weir_redis_tls *tls, struct weir_buf *plain, struct weir_buf *out);
bool weir_redis_tls_is_ready(const struct weir_redis_tls *tls);
/* Why it failed, for people. */
void weir_redis_tls_why(const struct weir_redis_tls *tls, char *to, size_t cap);
