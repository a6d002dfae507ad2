/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Checks and splits what a request line and a Host header may hold (RFC 9112 §3.2, RFC 3986).
 *
 * Why: llhttp accepts more than RFC 3986 does, and says nothing about Host; proxies that disagree
 * on either are how requests are smuggled past rules.
 * Ownership: the parts are views into the target. Threads: any. Errors: WEIR_E_FORMAT. */
#include "base/arena.h"
#include "weir/types.h"

struct weir_http_target {
    weir_str authority; /* of an absolute target, else empty */
    weir_str path;      /* starts with '/'; or "*" */
    weir_str query;     /* after '?' */
};

/* Origin form ("/a?b"), absolute form ("http://h/a?b", also https), or "*". Control characters,
 * characters that RFC 3986 wants encoded, fragments, bad escapes and %00 are refused. */
int weir_http_target_parse(weir_str target, struct weir_http_target *ret_target);

/* host [":" port] as RFC 3986 has it, not empty, no user part: 0 or WEIR_E_FORMAT. */
int weir_http_host_check(weir_str host);

/* Decodes %XX into arena memory. A target that parsed has only good escapes; others are kept as
 * they are. .p is NULL when the arena is full. */
weir_str weir_http_percent_decode(struct weir_arena *arena, weir_str text);
