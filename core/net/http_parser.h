/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Bytes to requests: llhttp in its strict mode, plus the rules that llhttp leaves to its users.
 *
 * Why: llhttp checks the grammar; sizes, Host, targets, duplicates, expectations and the one
 * transfer coding that we accept are checked here, before any handler sees the request.
 * Ownership: the parser borrows limits and the request that it fills. Bytes are copied.
 * Threads: none; no I/O.
 * Errors: WEIR_HTTP_PARSED_BAD, `problem` says which; the parser is then of no more use.
 * Invariant: how the bytes are split over feeds does not change the result. */
#include <llhttp.h>

#include "core/net/http_problem.h"
#include "core/net/http_request.h"

enum weir_http_parsed {
    WEIR_HTTP_PARSED_MORE, /* all bytes used, more are needed */
    WEIR_HTTP_PARSED_HEAD, /* the header is complete; feed the rest */
    WEIR_HTTP_PARSED_ALL,  /* the request is complete; the rest belongs to the next one */
    WEIR_HTTP_PARSED_BAD
};

struct weir_http_parser {
    llhttp_t llhttp;
    const struct weir_http_limits *limits;
    struct weir_http_request *request;
    enum weir_http_problem problem;
    weir_str target; /* offsets in the raw head, as are the next two */
    weir_str name;   /* of the field that is arriving; empty: none is */
    weir_str value;
    size_t n_head_raw;   /* bytes read as header, line ends included */
    size_t n_body_raw;   /* bytes read as body, chunk framing and trailers included */
    size_t method_end;   /* in raw bytes of the head */
    const char *feeding; /* the bytes of the running feed */
    bool has_begun;      /* the first byte of the request line has been seen */
    bool is_paused;      /* llhttp stopped at an event */
};

void weir_http_parser_init(struct weir_http_parser *p, const struct weir_http_limits *limits);
/* Makes ready for the next request on the same connection, to be filled into `request`. */
void weir_http_parser_begin(struct weir_http_parser *p, struct weir_http_request *request);
/* Reads up to n bytes and stops at the next event; *ret_used says how many were read. */
enum weir_http_parsed weir_http_parser_feed(struct weir_http_parser *p, const char *bytes, size_t n,
                                            size_t *ret_used);
