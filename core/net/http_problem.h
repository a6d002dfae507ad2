/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What can be wrong with a request before any handler has seen it, and how it is answered.
 *
 * Why: one table holds status, code and sentence, so that the parser only names the case.
 * Ownership: constant data. Threads: any. */

enum weir_http_problem {
    WEIR_HTTP_OK,
    WEIR_HTTP_BAD_REQUEST_LINE,
    WEIR_HTTP_BAD_METHOD,
    WEIR_HTTP_METHOD_REFUSED,
    WEIR_HTTP_BAD_TARGET,
    WEIR_HTTP_TARGET_TOO_LONG,
    WEIR_HTTP_BAD_VERSION,
    WEIR_HTTP_BAD_HEADER,
    WEIR_HTTP_HEAD_TOO_LARGE,
    WEIR_HTTP_TOO_MANY_HEADERS,
    WEIR_HTTP_REPEATED_HEADER,
    WEIR_HTTP_BAD_HOST,
    WEIR_HTTP_BAD_LENGTH,
    WEIR_HTTP_LENGTH_AND_CODING,
    WEIR_HTTP_BAD_CODING,
    WEIR_HTTP_UNKNOWN_CODING,
    WEIR_HTTP_BAD_EXPECTATION,
    WEIR_HTTP_BAD_CHUNK,
    WEIR_HTTP_CHUNK_OVERHEAD,
    WEIR_HTTP_BODY_TOO_LARGE,
    WEIR_HTTP_HEADER_TIMEOUT,
    WEIR_HTTP_BODY_TIMEOUT,
    WEIR_HTTP_TOO_MANY_CONNECTIONS,
    WEIR_HTTP_NO_MEMORY,
    WEIR_HTTP_PROBLEM_COUNT
};

struct weir_http_problem_info {
    int status;
    const char *code;    /* a stable word for programs */
    const char *message; /* a sentence for people */
};

const struct weir_http_problem_info *weir_http_problem_info(enum weir_http_problem problem);
