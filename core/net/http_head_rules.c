/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/http_head_rules.h"

#include <strings.h>

static bool equals_nocase(weir_str a, weir_str b)
{
    return a.n == b.n && strncasecmp(a.p, b.p, a.n) == 0;
}

static enum weir_http_problem check_repeats(const struct weir_http_request *r)
{
    static const char *const single[] = {"authorization", "content-type", "expect",
                                         "transfer-encoding"};
    for (size_t i = 0; i < sizeof(single) / sizeof(single[0]); i++) {
        if (weir_http_request_count(r, single[i]) > 1) {
            return WEIR_HTTP_REPEATED_HEADER;
        }
    }
    return WEIR_HTTP_OK;
}

static enum weir_http_problem check_target(struct weir_http_request *r, weir_str target)
{
    if (weir_str_is(r->method, "CONNECT") || weir_str_is(r->method, "TRACE")) {
        return WEIR_HTTP_METHOD_REFUSED;
    }
    if (weir_http_target_parse(target, &r->target) < 0) {
        return WEIR_HTTP_BAD_TARGET;
    }
    bool is_asterisk = weir_str_is(r->target.path, "*");
    return is_asterisk && !weir_str_is(r->method, "OPTIONS") ? WEIR_HTTP_BAD_TARGET : WEIR_HTTP_OK;
}

static enum weir_http_problem check_host(struct weir_http_request *r)
{
    size_t n_hosts = weir_http_request_count(r, "host");
    if (n_hosts > 1 || (n_hosts == 0 && r->version_minor == 1)) {
        return WEIR_HTTP_BAD_HOST;
    }
    r->authority = r->target.authority;
    if (n_hosts == 0) {
        return WEIR_HTTP_OK;
    }
    weir_str host = weir_http_request_find(r, "host")->value;
    if (weir_http_host_check(host) < 0 ||
        (r->target.authority.p && !equals_nocase(host, r->target.authority))) {
        return WEIR_HTTP_BAD_HOST;
    }
    r->authority = host;
    return WEIR_HTTP_OK;
}

/* Digits only, up to 2^63 - 1. */
static bool parse_length(weir_str s, uint64_t *ret_length)
{
    uint64_t length = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9' || length > (uint64_t)INT64_MAX / 10 - 1) {
            return false;
        }
        length = length * 10 + (uint64_t)(s.p[i] - '0');
    }
    *ret_length = length;
    return s.n > 0;
}

static enum weir_http_problem check_framing(struct weir_http_request *r,
                                            const struct weir_http_limits *limits)
{
    static const weir_str chunked = WEIR_STR_INIT("chunked");
    const struct weir_http_field *coding = weir_http_request_find(r, "transfer-encoding");
    const struct weir_http_field *length = weir_http_request_find(r, "content-length");
    if (coding && length) {
        return WEIR_HTTP_LENGTH_AND_CODING;
    }
    if (coding) {
        if (r->version_minor == 0 || coding->value.n == 0) {
            return WEIR_HTTP_BAD_CODING;
        }
        r->has_body = true;
        return equals_nocase(coding->value, chunked) ? WEIR_HTTP_OK : WEIR_HTTP_UNKNOWN_CODING;
    }
    if (!length) {
        return WEIR_HTTP_OK;
    }
    uint64_t n_bytes;
    if (weir_http_request_count(r, "content-length") > 1 ||
        !parse_length(length->value, &n_bytes)) {
        return WEIR_HTTP_BAD_LENGTH;
    }
    r->has_body = n_bytes > 0;
    return n_bytes > limits->max_body_bytes ? WEIR_HTTP_BODY_TOO_LARGE : WEIR_HTTP_OK;
}

static enum weir_http_problem check_expectation(struct weir_http_request *r)
{
    static const weir_str go_on = WEIR_STR_INIT("100-continue");
    const struct weir_http_field *expect = weir_http_request_find(r, "expect");
    if (!expect) {
        return WEIR_HTTP_OK;
    }
    if (!equals_nocase(expect->value, go_on)) {
        return WEIR_HTTP_BAD_EXPECTATION;
    }
    /* A 1.0 client cannot read an interim response (RFC 9110 §10.1.1). */
    r->expects_continue = r->version_minor == 1 && r->has_body;
    return WEIR_HTTP_OK;
}

enum weir_http_problem weir_http_head_check(struct weir_http_request *r, weir_str target,
                                            const struct weir_http_limits *limits)
{
    enum weir_http_problem problem = check_target(r, target);
    if (problem == WEIR_HTTP_OK) {
        problem = check_repeats(r);
    }
    if (problem == WEIR_HTTP_OK) {
        problem = check_host(r);
    }
    if (problem == WEIR_HTTP_OK) {
        problem = check_framing(r, limits);
    }
    return problem == WEIR_HTTP_OK ? check_expectation(r) : problem;
}
