/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/put.h"
#include "core/api/error_body.h"
#include "core/server/worker.h"

enum {
    MAX_BODY_BYTES = 64 * 1024 * 1024,
    POLICY_RETRY_US = 1000000,
    MAX_TIMES_BYTES = 256 /* four numbers, and less than a hundred bytes around them */
};

static bool can_answer(const struct weir_request *r)
{
    return r->ex && !weir_http_response_begun(r->ex);
}

/* Milliseconds with two places, without printf: every answer has some. */
static char *put_ms(char *to, uint64_t from_us, uint64_t to_us)
{
    uint64_t hundredths = to_us > from_us ? (to_us - from_us + 5) / 10 : 0;
    to = weir_put_u64(to, hundredths / 100);
    const char places[] = {'.', (char)('0' + hundredths / 10 % 10), (char)('0' + hundredths % 10)};
    return weir_put(to, places, sizeof(places));
}

/* W3C Server-Timing: queue until granted, prefill until the first chunk … */
static char *put_first_times(char *to, const struct weir_request *r)
{
    to = put_ms(weir_put_text(to, "queue;dur="), r->enqueued_us, r->granted_us);
    if (!r->first_chunk_us) {
        return to;
    }
    return put_ms(weir_put_text(to, ", prefill;dur="), r->granted_us, r->first_chunk_us);
}

/* … decode until the last one; how much of the prompt the prefix cache had. */
static char *put_last_times(char *to, const struct weir_request *r)
{
    to = put_ms(weir_put_text(to, "decode;dur="), r->first_chunk_us, r->last_chunk_us);
    to = weir_put_u64(weir_put_text(to, ", cache;desc=\""), r->outcome.cached_tokens);
    return weir_put_text(to, " tokens\"");
}

static void add_headers(struct weir_request *r, bool whole)
{
    (void)weir_http_add_own_header(r->ex, weir_str_from("x-request-id"), weir_str_from(r->id));
    if (r->granted_us) {
        char times[MAX_TIMES_BYTES], *end = put_first_times(times, r);
        if (whole && r->first_chunk_us) {
            end = put_last_times(weir_put_text(end, ", "), r);
        }
        (void)weir_http_add_own_header(r->ex, weir_str_from("Server-Timing"),
                                       (weir_str){times, (size_t)(end - times)});
    }
    if (r->asked_model && r->model && r->model != r->asked_model) {
        (void)weir_http_add_header(r->ex, weir_str_from("x-weir-model"),
                                   weir_str_from(weir_model_name(r->model)));
    }
    if (r->is_shortened) {
        (void)weir_http_add_header(r->ex, weir_str_from("x-weir-degraded"),
                                   weir_str_from("max_tokens"));
    }
    if (weir_worker_is_draining(r->worker)) {
        (void)weir_http_add_header(r->ex, weir_str_from("x-weir-draining"), weir_str_from("true"));
    }
}

void weir_answer_stream_headers(struct weir_request *r)
{
    add_headers(r, false);
    if (weir_http_takes_trailers(r->ex)) {
        (void)weir_http_add_header(r->ex, weir_str_from("Trailer"), weir_str_from("Server-Timing"));
    }
}

void weir_answer_stream_trailers(struct weir_request *r)
{
    if (r->first_chunk_us && weir_http_takes_trailers(r->ex)) {
        char times[MAX_TIMES_BYTES], *end = put_last_times(times, r);
        (void)weir_http_add_trailer(r->ex, weir_str_from("Server-Timing"),
                                    (weir_str){times, (size_t)(end - times)});
    }
}

/* The fields are there. */
static void send_whole(struct weir_request *r, uint32_t status, weir_str body)
{
    r->status = status;
    if (weir_http_respond(r->ex, (int)status, body) < 0) {
        weir_http_abort(r->ex);
    }
}

void weir_answer_empty(struct weir_request *r, uint32_t status)
{
    if (can_answer(r)) {
        add_headers(r, true);
        send_whole(r, status, (weir_str){"", 0});
    }
}

void weir_answer_text(struct weir_request *r, uint32_t status, const char *content_type,
                      weir_str text)
{
    if (can_answer(r)) {
        add_headers(r, true);
        (void)weir_http_add_header(r->ex, weir_str_from("Content-Type"),
                                   weir_str_from(content_type));
        send_whole(r, status, text);
    }
}

void weir_answer_json(struct weir_request *r, uint32_t status, weir_str json)
{
    if (can_answer(r)) {
        add_headers(r, true);
        (void)weir_http_add_own_header(r->ex, weir_str_from("Content-Type"),
                                       weir_str_from("application/json"));
        send_whole(r, status, json);
    }
}

static void answer_typed(struct weir_request *r, uint32_t status, weir_str type, weir_str param,
                         weir_str code, weir_str message)
{
    if (!can_answer(r)) {
        return;
    }
    struct weir_buf body;
    weir_buf_init(&body, MAX_BODY_BYTES);
    weir_error_body_write_typed(&body, type, message, param, code);
    if (body.failed) {
        weir_http_abort(r->ex);
    } else {
        weir_answer_json(r, status, weir_buf_view(&body));
    }
    weir_buf_finish(&body);
}

static void answer_error(struct weir_request *r, uint32_t status, const char *param,
                         const char *code, const char *message)
{
    r->error_code = code;
    answer_typed(r, status, weir_str_from(weir_error_type(status)), weir_str_from(param),
                 weir_str_from(code), weir_str_from(message));
}

void weir_answer_error(struct weir_request *r, uint32_t status, const char *param, const char *code,
                       const char *fmt, ...)
{
    char message[500];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    answer_error(r, status, param, code, message);
}

void weir_answer_refusal(struct weir_request *r, const weir_refusal *refusal)
{
    char *code = weir_arena_strdup(&r->arena, refusal->code);
    answer_error(r, refusal->status ? refusal->status : 400, refusal->param,
                 code ? code : "invalid_value", refusal->message);
}

void weir_answer_unknown_model(struct weir_request *r, weir_str name)
{
    if (name.n == 0) {
        weir_answer_error(r, 400, "model", "missing_required_parameter",
                          "Missing required parameter: 'model'. GET /v1/models lists the models.");
        return;
    }
    weir_answer_error(r, 404, "model", "model_not_found",
                      "The model '%.*s' does not exist or you do not have access to it.",
                      (int)(name.n < 100 ? name.n : 100), name.p);
}

void weir_answer_busy(struct weir_request *r, uint32_t status, const char *code,
                      uint64_t retry_after_us, const char *fmt, ...)
{
    if (!can_answer(r)) {
        return;
    }
    weir_http_add_retry_after(r->ex, retry_after_us);
    char message[500];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    answer_error(r, status, "", code, message);
}

void weir_answer_plugin(struct weir_request *r)
{
    uint32_t status = r->answer_status ? r->answer_status : 403;
    if (!can_answer(r)) {
        return;
    }
    r->error_code = r->answer_is_body ? NULL : r->answer_code.p;
    if (r->answer_is_body) {
        weir_answer_text(r, status, r->answer_type.n ? r->answer_type.p : "application/json",
                         r->answer_text);
        return;
    }
    if (status == 503 && !weir_http_has_header(r->ex, "retry-after")) {
        weir_http_add_retry_after(r->ex, POLICY_RETRY_US);
    }
    weir_str type = r->answer_type.n ? r->answer_type : weir_str_from(weir_error_type(status));
    weir_str message = r->answer_text.n ? r->answer_text : weir_str_from("The request was denied.");
    answer_typed(r, status, type, (weir_str){NULL, 0}, r->answer_code, message);
}
