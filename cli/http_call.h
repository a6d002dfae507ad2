/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A blocking HTTP/1.1 request whose answer is read as it comes: for commands that talk to a daemon.
 *
 * Ownership: nothing is kept. Threads: any; one connection per call.
 * Errors: WEIR_E_IO with a sentence (host and port named), WEIR_E_FORMAT for an answer that is no
 * HTTP, WEIR_E_CANCELLED when `stop` became true. A status other than 200 is no error here. */
#include <signal.h>

#include "base/error.h"

enum { WEIR_HTTP_CALL_ETAG_BYTES = 128 };

struct weir_http_call {
    const char *method;   /* NULL: POST */
    const char *url;      /* http://host[:port]/path */
    const char *token;    /* sent as a bearer token; NULL: none */
    const char *if_match; /* NULL: none */
    weir_str body;        /* JSON; empty: none */
    /* Pieces of the answer's body in order; a negative return ends the call with it. */
    int (*on_body)(void *arg, weir_str piece);
    void *arg;
    char *ret_etag; /* [WEIR_HTTP_CALL_ETAG_BYTES], empty when there is none; NULL: not wanted */
    const volatile sig_atomic_t *stop; /* NULL: cannot be stopped */
};

int weir_http_call(const struct weir_http_call *call, int *ret_status, struct weir_error *err);
