/* SPDX-License-Identifier: Apache-2.0 */
#include "failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <yyjson.h>

enum { MAX_RETRY_AFTER_S = 3600 };

void weir_upstream_fail_protocol(struct weir_upstream_failure *f, const char *fmt, ...)
{
    *f = (struct weir_upstream_failure){.kind = "protocol",
                                        .rc = WEIR_E_FORMAT,
                                        .status = 502,
                                        .flags = WEIR_OUTCOME_TARGET_FAILED,
                                        .code = "upstream_bad_answer"};
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(f->message, sizeof(f->message), fmt, ap);
    va_end(ap);
}

void weir_upstream_fail_link(struct weir_upstream_failure *f, bool sent, const char *kind,
                             const char *fmt, ...)
{
    *f = (struct weir_upstream_failure){.kind = kind,
                                        .rc = WEIR_E_IO,
                                        .status = sent ? 502 : 503,
                                        .flags = WEIR_OUTCOME_TARGET_FAILED |
                                                 (sent ? 0 : WEIR_OUTCOME_UNSENT)};
    (void)snprintf(f->code, sizeof(f->code), "%s",
                   sent ? "upstream_connection_lost" : "upstream_unreachable");
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(f->message, sizeof(f->message), fmt, ap);
    va_end(ap);
}

void weir_upstream_fail_timeout(struct weir_upstream_failure *f, bool sent, const char *what,
                                uint32_t limit_ms)
{
    *f = (struct weir_upstream_failure){.kind = "timeout",
                                        .rc = WEIR_E_TIMEOUT,
                                        .status = 504,
                                        .flags = WEIR_OUTCOME_TARGET_FAILED |
                                                 (sent ? 0 : WEIR_OUTCOME_UNSENT),
                                        .code = "upstream_timeout"};
    (void)snprintf(f->message, sizeof(f->message), "The model's server %s within %u ms.", what,
                   limit_ms);
}

static void copy_text(char *to, size_t cap, yyjson_val *v)
{
    if (yyjson_is_str(v)) {
        (void)snprintf(to, cap, "%s", yyjson_get_str(v));
    }
}

/* OpenAI's {"error": {...}}, an older {"error": "text"}, or {"message": "..."}. */
static void read_error(struct weir_upstream_failure *f, weir_str body)
{
    yyjson_doc *doc = body.n ? yyjson_read(body.p, body.n, 0) : NULL;
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *error = yyjson_obj_get(root, "error");
    yyjson_val *from = yyjson_is_obj(error) ? error : root;
    copy_text(f->message, sizeof(f->message), error);
    copy_text(f->message, sizeof(f->message), yyjson_obj_get(from, "message"));
    copy_text(f->code, sizeof(f->code), yyjson_obj_get(from, "code"));
    copy_text(f->param, sizeof(f->param), yyjson_obj_get(from, "param"));
    yyjson_doc_free(doc);
}

static void set_default(char *to, size_t cap, const char *text)
{
    if (!*to) {
        (void)snprintf(to, cap, "%s", text);
    }
}

/* Our own credentials or address are wrong: not the client's business in detail. */
static bool is_ours(uint32_t status)
{
    return status == 401 || status == 403 || status == 404 || status == 405 || status == 407;
}

void weir_upstream_fail_status(struct weir_upstream_failure *f, uint32_t status,
                               uint64_t retry_after_us, weir_str body)
{
    *f = (struct weir_upstream_failure){
        .kind = "status", .rc = WEIR_E_DEVICE, .status = status, .retry_after_us = retry_after_us};
    read_error(f, body);
    if (status == 429) {
        f->rc = WEIR_E_BUSY;
        set_default(f->code, sizeof(f->code), "rate_limit_exceeded");
        set_default(f->message, sizeof(f->message), "The model's server limits its rate.");
    } else if (status == 503) {
        f->rc = WEIR_E_BUSY;
        f->flags = WEIR_OUTCOME_TARGET_FAILED;
        set_default(f->code, sizeof(f->code), "upstream_unavailable");
        set_default(f->message, sizeof(f->message), "The model's server is not available now.");
    } else if (status >= 400 && status < 500 && !is_ours(status)) {
        f->rc = WEIR_E_ARG;
        set_default(f->code, sizeof(f->code), "invalid_value");
        set_default(f->message, sizeof(f->message), "The model's server refused the request.");
    } else {
        f->status = status == 504 ? 504 : 502;
        f->flags = WEIR_OUTCOME_TARGET_FAILED;
        *f->param = '\0';
        (void)snprintf(f->code, sizeof(f->code), "%s",
                       is_ours(status) ? "upstream_refused" : "upstream_error");
        (void)snprintf(f->message, sizeof(f->message),
                       "The model's server answered with status %u.", status);
    }
}

static uint64_t parse_number(weir_str text, uint64_t max)
{
    uint64_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '.' && i > 0) { /* parts of a second do not matter */
            break;
        }
        if (text.p[i] < '0' || text.p[i] > '9') {
            return 0;
        }
        n = n > max ? n : n * 10 + (uint64_t)(text.p[i] - '0');
    }
    return n < max ? n : max;
}

uint64_t weir_upstream_retry_after_ms(weir_str ms)
{
    return parse_number(ms, MAX_RETRY_AFTER_S * UINT64_C(1000)) * 1000;
}

uint64_t weir_upstream_retry_after(weir_str text)
{
    if (text.n && text.p[0] >= '0' && text.p[0] <= '9') {
        return parse_number(text, MAX_RETRY_AFTER_S) * 1000000;
    }
    char date[40];
    struct tm tm = {0};
    if (text.n >= sizeof(date)) {
        return 0;
    }
    (void)snprintf(date, sizeof(date), "%.*s", (int)text.n, text.n ? text.p : "");
    if (!strptime(date, "%a, %d %b %Y %H:%M:%S GMT", &tm)) {
        return 0;
    }
    int64_t left_s = (int64_t)timegm(&tm) - (int64_t)time(NULL);
    return left_s <= 0                  ? 0
           : left_s < MAX_RETRY_AFTER_S ? (uint64_t)left_s * 1000000
                                        : MAX_RETRY_AFTER_S * UINT64_C(1000000);
}
