/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* TLS to an upstream, over memory: bytes from and to a socket that somebody else reads and writes.
 *
 * Sessions are kept for the next connection, of whatever loop. Ownership: a context outlives its
 * sessions. Threads: a context [any]; a session one thread. Errors: WEIR_E_* with a sentence. */
#include <stdbool.h>

#include "settings.h"

struct weir_upstream_tls_context;
struct weir_upstream_tls;

int weir_upstream_tls_context_create(const struct weir_upstream_settings *settings,
                                     struct weir_upstream_tls_context **ret_context,
                                     struct weir_error *err);
void weir_upstream_tls_context_destroy(struct weir_upstream_tls_context *context); /* NULL ok */

int weir_upstream_tls_create(struct weir_upstream_tls_context *context,
                             struct weir_upstream_tls **ret_tls);
void weir_upstream_tls_destroy(struct weir_upstream_tls *tls); /* NULL ok */

/* Bytes that came from the socket. */
int weir_upstream_tls_feed(struct weir_upstream_tls *tls, const char *bytes, size_t n_bytes);
/* The next plain bytes: their count, 0 for none now, WEIR_E_GONE when the peer has ended the
 * session, WEIR_E_FORMAT when it has failed; goes on with the handshake. */
int weir_upstream_tls_read(struct weir_upstream_tls *tls, char *to, size_t cap);
/* Encrypts all of `plain` when the handshake is over, and moves to `out` what the socket should
 * get. */
int weir_upstream_tls_write(struct weir_upstream_tls *tls, struct weir_buf *plain,
                            struct weir_buf *out);
bool weir_upstream_tls_is_ready(const struct weir_upstream_tls *tls);
/* The handshake has agreed on HTTP/2. */
bool weir_upstream_tls_has_h2(const struct weir_upstream_tls *tls);
/* Why it failed, for people. */
void weir_upstream_tls_why(const struct weir_upstream_tls *tls, char *to, size_t cap);
