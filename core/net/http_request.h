/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A parsed request: line, header fields, body.
 *
 * Why: the parser fills it without knowing of sockets, so that tests and fuzzers can too.
 * Ownership: the request owns its bytes in two buffers that are reused from request to request;
 * every weir_str points into them (or at constants).
 * Threads: none. Errors: WEIR_E_NOMEM from init.
 * Invariant: views are valid only after the head is complete, since `head` may move before. */
#include <stdbool.h>

#include "base/buf.h"
#include "core/net/http_limits.h"
#include "core/net/http_problem.h"
#include "core/net/http_target.h"

struct weir_http_field {
    weir_str name;  /* as sent */
    weir_str value; /* without white space around it */
};

struct weir_http_request {
    weir_str method;
    struct weir_http_target target;
    weir_str authority;
    int version_minor;

    struct weir_http_field *fields; /* [max_fields] */
    size_t n_fields;
    size_t max_fields;

    bool is_head_complete;
    bool is_complete;
    bool has_body;         /* Content-Length above 0, or chunked */
    bool expects_continue; /* Expect: 100-continue */
    bool keep_alive;       /* what the client wishes */

    struct weir_buf head; /* HTTP/1.1: as it was sent; HTTP/2: names and values, end to end */
    struct weir_buf body;
};

int weir_http_request_init(struct weir_http_request *r, const struct weir_http_limits *limits);
void weir_http_request_finish(struct weir_http_request *r);
/* Empty again; keeps small buffers. */
void weir_http_request_reset(struct weir_http_request *r);

/* The first field of that name (any case), or NULL. */
const struct weir_http_field *weir_http_request_find(const struct weir_http_request *r,
                                                     weir_str name);
/* How many fields of that name there are. */
size_t weir_http_request_count(const struct weir_http_request *r, weir_str name);

/* While a head arrives, kept strings and fields are offsets into `head`, which may move; resolve()
 * turns the fields into views, resolved() one kept string. */
enum weir_http_problem weir_http_request_keep(struct weir_http_request *r, weir_str text,
                                              weir_str *ret_kept);
enum weir_http_problem weir_http_request_add_field(struct weir_http_request *r, weir_str name,
                                                   weir_str value);
void weir_http_request_resolve(struct weir_http_request *r);
weir_str weir_http_request_resolved(const struct weir_http_request *r, weir_str kept);
