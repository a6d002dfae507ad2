/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The rules of a request header that a grammar cannot say: one Host, one length, one coding.
 *
 * Why: two servers that frame or route one request differently is what smuggling lives on; every
 * doubtful header is refused (RFC 9112 §3.2, §6.1-6.3, §11.2).
 * Ownership: none. Threads: any. */
#include "core/net/http_problem.h"
#include "core/net/http_request.h"

/* Checks the fields of `r` and fills target, authority, has_body and expects_continue. `target` is
 * the request target as sent. Needs method, version and fields. */
enum weir_http_problem weir_http_head_check(struct weir_http_request *r, weir_str target,
                                            const struct weir_http_limits *limits);
