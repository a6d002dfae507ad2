/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a target of this backend was configured with: the `upstream` object as plain fields.
 *
 * Why: everything that does not change from request to request is worked out once, such as the head
 * of the HTTP request with its key.
 * Ownership: strings belong to the settings. Threads: read-only after open. Errors: one sentence
 * that begins with the key. Invariant: host and path are ready for the wire (no control bytes). */
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/error.h"
#include "weir/backend_stream.h"

enum {
    WEIR_UPSTREAM_MAX_HOST = 256,
    WEIR_UPSTREAM_MAX_KEY = 4096,
    WEIR_UPSTREAM_KINDS = WEIR_GENERATION_EMBEDDING + 1
};

enum weir_upstream_http2 { WEIR_HTTP2_AUTO, WEIR_HTTP2_ON, WEIR_HTTP2_OFF };

struct weir_upstream_settings {
    bool is_tls;
    bool is_address; /* host is an IP address: no name to resolve */
    bool is_verified;
    char host[WEIR_UPSTREAM_MAX_HOST];
    uint16_t port;
    char authority[WEIR_UPSTREAM_MAX_HOST + 16]; /* Host */
    char *paths[WEIR_UPSTREAM_KINDS];            /* by enum weir_generation_kind */
    char *base_path;                             /* of the url, without a slash at its end */
    char *key;                                   /* NULL: none */
    struct weir_buf heads[WEIR_UPSTREAM_KINDS];  /* HTTP/1.1, up to the fields of a request */
    struct weir_buf model_json;                  /* the model's name there, quoted */
    char *ca, *cert, *cert_key, *server_name;    /* NULL: not given */
    enum weir_upstream_http2 http2;
    uint32_t connect_ms, first_token_ms, between_tokens_ms, total_ms;
    uint32_t max_requests;    /* of the target at a time */
    uint32_t max_connections; /* of a loop */
    uint32_t max_idle;        /* of a loop, kept open */
    uint32_t idle_ms, resolve_ms;
};

int weir_upstream_settings_read(struct weir_upstream_settings *s, weir_str config_json,
                                struct weir_error *err);
void weir_upstream_settings_finish(struct weir_upstream_settings *s);
