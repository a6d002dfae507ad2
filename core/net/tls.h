/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* TLS of a server: the certificate in force, and one connection's records.
 *
 * Why: a certificate is changed while connections run, so it is shared by reference: a connection
 * keeps what it began with, the next one gets what is in force. Records are made and read in
 * memory; sockets stay with the caller.
 * Ownership: the caller owns contexts and connections; a context outlives the connections made
 * from it. Threads: a context [any], a connection one loop. Errors: WEIR_E_* and a sentence that
 * names the file; of a connection WEIR_E_FORMAT, after which only its output is of use. */
#include <stdbool.h>
#include <time.h>

#include "base/buf.h"
#include "base/error.h"

struct weir_tls_context;
struct weir_tls;

struct weir_tls_files {     /* copied */
    const char *cert, *key; /* PEM */
    const char *client_ca;  /* NULL: clients need no certificate */
    bool is_13_only;        /* else TLS 1.2 too */
    bool has_http2;         /* offered by ALPN */
};

/* Reads the files. */
WEIR_NODISCARD int weir_tls_context_create(const struct weir_tls_files *files,
                                           struct weir_tls_context **ret_context,
                                           struct weir_error *err);
/* Reads the files again. When they do not work, or the certificate has expired, the old ones stay
 * in force, and the error says what is wrong. */
int weir_tls_context_reload(struct weir_tls_context *context, struct weir_error *err);
/* Has a file changed since this was last asked? Looks at the files' times and sizes. */
bool weir_tls_context_has_changed(struct weir_tls_context *context);
/* When the certificate in force ends. */
time_t weir_tls_context_not_after(struct weir_tls_context *context);
void weir_tls_context_destroy(struct weir_tls_context *context); /* NULL ok */

/* A connection of a client. */
WEIR_NODISCARD int weir_tls_create(struct weir_tls_context *context, struct weir_tls **ret_tls);
void weir_tls_destroy(struct weir_tls *tls); /* NULL ok */
/* Lends bytes of the client, to be read until read() returns 0 or less. */
void weir_tls_feed(struct weir_tls *tls, const char *bytes, size_t n_bytes);
/* Decrypted bytes; 0: needs more of the client; WEIR_E_GONE: the client ended its side in order;
 * WEIR_E_FORMAT. Does the handshake, too. */
int weir_tls_read(struct weir_tls *tls, char *to, size_t cap);
/* Encrypts at most one record's worth; *ret_n says how much. None before the handshake is done. */
int weir_tls_write(struct weir_tls *tls, const char *bytes, size_t n_bytes, size_t *ret_n);
/* Tells the client that nothing follows. */
void weir_tls_close(struct weir_tls *tls);
/* What is to be sent to the client; the caller takes it out. */
struct weir_buf *weir_tls_output(struct weir_tls *tls);
bool weir_tls_is_ready(const struct weir_tls *tls); /* the handshake is done */
bool weir_tls_is_http2(const struct weir_tls *tls); /* chosen by ALPN */
