/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/http_head_rules.h"

#include <strings.h>

#include "base/http_field.h"

static bool equals_nocase(weir_str a, weir_str b)
{
    return a.n == b.n && strncasecmp(a.p, b.p, a.n) == 0;
}

/* The fields that the rules are about, found in one walk. */
enum rule_field {
    AUTHORIZATION,
    CONTENT_TYPE,
    EXPECT,
    TRANSFER_ENCODING,
    HOST,
    CONTENT_LENGTH,
    N_RULE_FIELDS
};

struct found {
    const struct weir_http_field *first;
    size_t n;
};

/* No two of them are of one length. */
static enum rule_field of_length(size_t n)
{
    switch (n) {
    case sizeof("host") - 1: return HOST;
    case sizeof("expect") - 1: return EXPECT;
    case sizeof("content-type") - 1: return CONTENT_TYPE;
    case sizeof("authorization") - 1: return AUTHORIZATION;
    case sizeof("content-length") - 1: return CONTENT_LENGTH;
    case sizeof("transfer-encoding") - 1: return TRANSFER_ENCODING;
    default: return N_RULE_FIELDS;
    }
}

static void find_fields(const struct weir_http_request *r, struct found found[N_RULE_FIELDS])
{
    static const weir_str names[N_RULE_FIELDS] = {
        [AUTHORIZATION] = WEIR_STR_INIT("authorization"),
        [CONTENT_TYPE] = WEIR_STR_INIT("content-type"),
        [EXPECT] = WEIR_STR_INIT("expect"),
        [TRANSFER_ENCODING] = WEIR_STR_INIT("transfer-encoding"),
        [HOST] = WEIR_STR_INIT("host"),
        [CONTENT_LENGTH] = WEIR_STR_INIT("content-length"),
    };
    memset(found, 0, N_RULE_FIELDS * sizeof(found[0]));
    for (size_t i = 0; i < r->n_fields; i++) {
        const struct weir_http_field *f = &r->fields[i];
        enum rule_field k = of_length(f->name.n);
        if (k < N_RULE_FIELDS && weir_http_is_named(f->name, names[k])) {
            found[k].first = found[k].n++ ? found[k].first : f;
        }
    }
}

static enum weir_http_problem check_repeats(const struct found found[N_RULE_FIELDS])
{
    bool is_repeated = found[AUTHORIZATION].n > 1 || found[CONTENT_TYPE].n > 1 ||
                       found[EXPECT].n > 1 || found[TRANSFER_ENCODING].n > 1;
    return is_repeated ? WEIR_HTTP_REPEATED_HEADER : WEIR_HTTP_OK;
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

static enum weir_http_problem check_host(struct weir_http_request *r, const struct found *hosts)
{
    if (hosts->n > 1 || (hosts->n == 0 && r->version_minor == 1)) {
        return WEIR_HTTP_BAD_HOST;
    }
    r->authority = r->target.authority;
    if (hosts->n == 0) {
        return WEIR_HTTP_OK;
    }
    weir_str host = hosts->first->value;
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
                                            const struct found found[N_RULE_FIELDS],
                                            const struct weir_http_limits *limits)
{
    static const weir_str chunked = WEIR_STR_INIT("chunked");
    const struct weir_http_field *coding = found[TRANSFER_ENCODING].first;
    const struct weir_http_field *length = found[CONTENT_LENGTH].first;
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
    if (found[CONTENT_LENGTH].n > 1 || !parse_length(length->value, &n_bytes)) {
        return WEIR_HTTP_BAD_LENGTH;
    }
    r->has_body = n_bytes > 0;
    return n_bytes > limits->max_body_bytes ? WEIR_HTTP_BODY_TOO_LARGE : WEIR_HTTP_OK;
}

static enum weir_http_problem check_expectation(struct weir_http_request *r,
                                                const struct weir_http_field *expect)
{
    static const weir_str go_on = WEIR_STR_INIT("100-continue");
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
    struct found found[N_RULE_FIELDS];
    enum weir_http_problem problem = check_target(r, target);
    find_fields(r, found);
    if (problem == WEIR_HTTP_OK) {
        problem = check_repeats(found);
    }
    if (problem == WEIR_HTTP_OK) {
        problem = check_host(r, &found[HOST]);
    }
    if (problem == WEIR_HTTP_OK) {
        problem = check_framing(r, found, limits);
    }
    return problem == WEIR_HTTP_OK ? check_expectation(r, found[EXPECT].first) : problem;
}
