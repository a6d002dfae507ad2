/* SPDX-License-Identifier: Apache-2.0 */
#include "http_problem.h"

static const struct weir_http_problem_info problems[WEIR_HTTP_PROBLEM_COUNT] = {
    [WEIR_HTTP_OK] = {200, "ok", "No problem."},
    [WEIR_HTTP_BAD_REQUEST_LINE] = {400, "bad_request_line", "The request line is malformed."},
    [WEIR_HTTP_BAD_METHOD] = {400, "bad_method", "The request method is unknown or malformed."},
    [WEIR_HTTP_METHOD_REFUSED] = {501, "method_not_implemented",
                                  "This server does not answer CONNECT or TRACE."},
    [WEIR_HTTP_BAD_TARGET] = {400, "bad_target",
                              "The request target is malformed or holds a byte that must be "
                              "percent-encoded."},
    [WEIR_HTTP_TARGET_TOO_LONG] = {414, "target_too_long", "The request target is too long."},
    [WEIR_HTTP_BAD_VERSION] = {505, "http_version_not_supported",
                               "Only versions 1.0 and 1.1 of HTTP are spoken here."},
    [WEIR_HTTP_BAD_HEADER] = {400, "bad_header", "A header field is malformed."},
    [WEIR_HTTP_HEAD_TOO_LARGE] = {431, "header_too_large", "The request header is too large."},
    [WEIR_HTTP_TOO_MANY_HEADERS] = {431, "too_many_headers",
                                    "The request has too many header fields."},
    [WEIR_HTTP_REPEATED_HEADER] = {400, "repeated_header",
                                   "A header field that may appear only once is repeated."},
    [WEIR_HTTP_BAD_HOST] = {400, "bad_host",
                            "The Host header is missing, malformed, or not that of the target."},
    [WEIR_HTTP_BAD_LENGTH] = {400, "bad_content_length",
                              "Content-Length is malformed or repeated."},
    [WEIR_HTTP_LENGTH_AND_CODING] = {400, "ambiguous_length",
                                     "Content-Length and Transfer-Encoding exclude each other."},
    [WEIR_HTTP_BAD_CODING] = {400, "bad_transfer_encoding", "Transfer-Encoding is malformed."},
    [WEIR_HTTP_UNKNOWN_CODING] = {501, "unknown_transfer_encoding",
                                  "The only Transfer-Encoding understood is chunked."},
    [WEIR_HTTP_BAD_EXPECTATION] = {417, "expectation_failed",
                                   "The only expectation understood is 100-continue."},
    [WEIR_HTTP_BAD_CHUNK] = {400, "bad_chunk", "The chunked body is malformed."},
    [WEIR_HTTP_CHUNK_OVERHEAD] = {400, "chunk_overhead",
                                  "The chunked body has more framing than content."},
    [WEIR_HTTP_BODY_TOO_LARGE] = {413, "body_too_large", "The request body is too large."},
    [WEIR_HTTP_HEADER_TIMEOUT] = {408, "header_timeout",
                                  "The request header did not arrive in time."},
    [WEIR_HTTP_BODY_TIMEOUT] = {408, "body_timeout", "The request body did not arrive in time."},
    [WEIR_HTTP_TOO_MANY_CONNECTIONS] = {503, "too_many_connections",
                                        "The server has no connection left."},
    [WEIR_HTTP_NO_MEMORY] = {503, "no_memory", "The server has no memory left for this request."},
};

const struct weir_http_problem_info *weir_http_problem_info(enum weir_http_problem problem)
{
    return &problems[problem];
}
