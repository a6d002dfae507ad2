/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* TLS as a client, over memory: bytes from and to a socket that somebody else reads and writes.
 *
 * Why: Redis and upstreams are both reached on loops of our own, which OpenSSL must not block.
 * A context holds what all connections to a place share; a client is one connection.
 * Ownership: a context outlives its clients. Threads: a context [any]; a client one thread.
 * Errors: WEIR_E_* with a sentence. */
#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"

struct weir_tls_client_context;
struct weir_tls_client;

struct weir_tls_client_settings {
    const char *ca;         /* a file of certificates; NULL: the system's */
    const char *cert, *key; /* both or none */
    const char *protocols;  /* ALPN: names behind their lengths, "\x02h2"; NULL: none offered */
    bool is_unverified;     /* the server's certificate and name are not looked at */
    /* The newest session serves the next connection. Only for one place: a session that is resumed
     * proves no name. */
    bool keeps_session;
};

WEIR_NODISCARD int weir_tls_client_context_create(const struct weir_tls_client_settings *settings,
                                                  struct weir_tls_client_context **ret_context,
                                                  struct weir_error *err);
void weir_tls_client_context_destroy(struct weir_tls_client_context *context); /* NULL ok */

/* name: of the server, or its address. */
WEIR_NODISCARD int weir_tls_client_create(struct weir_tls_client_context *context, const char *name,
                                          struct weir_tls_client **ret_client);
void weir_tls_client_destroy(struct weir_tls_client *client); /* NULL ok */

/* Bytes that came from the socket. */
int weir_tls_client_feed(struct weir_tls_client *client, const char *bytes, size_t n_bytes);
/* The next plain bytes: their count, 0 for none now, WEIR_E_GONE when the peer has ended the
 * session, WEIR_E_FORMAT when it has failed; goes on with the handshake. */
int weir_tls_client_read(struct weir_tls_client *client, char *to, size_t cap);
/* Encrypts all of `plain` when the handshake is over, and moves to `out` what the socket should
 * get. */
int weir_tls_client_write(struct weir_tls_client *client, struct weir_buf *plain,
                          struct weir_buf *out);
bool weir_tls_client_is_ready(const struct weir_tls_client *client);
/* The handshake has agreed on this protocol. */
bool weir_tls_client_speaks(const struct weir_tls_client *client, const char *protocol);
/* Why it failed, for people. */
void weir_tls_client_why(const struct weir_tls_client *client, char *to, size_t cap);
