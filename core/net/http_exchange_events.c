/* SPDX-License-Identifier: Apache-2.0 */
/* What an exchange tells its handler, and what the server answers in the handler's place. */
#include "core/net/http_server_internal.h"

enum { MAX_PROBLEM_BYTES = 4096 };

void weir_http_exchange_announce(struct weir_http_exchange *ex)
{
    struct weir_http_server *s = ex->connection->server;
    ex->is_announced = true;
    s->stats.n_requests++;
    s->stats.n_running++;
    if (s->handler.on_headers) {
        s->handler.on_headers(s->user, ex);
    }
}

void weir_http_exchange_end(struct weir_http_exchange *ex, enum weir_http_end why)
{
    struct weir_http_server *s = ex->connection->server;
    if (!ex->is_announced || ex->is_ended) {
        return;
    }
    ex->is_ended = true;
    s->stats.n_running--;
    s->stats.n_client_gone += why == WEIR_HTTP_END_CLIENT_GONE;
    s->stats.n_stalled += why == WEIR_HTTP_END_STALLED;
    if (s->handler.on_closed) {
        s->handler.on_closed(s->user, ex, why);
    }
}

static void default_problem(const struct weir_http_problem_info *info, struct weir_buf *ret_body)
{
    weir_buf_add_text(ret_body, "{\"error\":{\"message\":");
    weir_buf_add_json_str(ret_body, weir_str_from(info->message));
    weir_buf_add_text(ret_body, ",\"type\":\"invalid_request_error\",\"param\":null,\"code\":");
    weir_buf_add_json_str(ret_body, weir_str_from(info->code));
    weir_buf_add_text(ret_body, "}}");
}

static int respond_to_problem(struct weir_http_exchange *ex,
                              const struct weir_http_problem_info *info)
{
    const struct weir_http_server *s = ex->connection->server;
    struct weir_buf body;
    weir_buf_init(&body, MAX_PROBLEM_BYTES);
    if (s->handler.on_problem) {
        s->handler.on_problem(s->user, ex, info, &body);
    } else {
        (void)weir_http_add_header(ex, weir_str_from("Content-Type"),
                                   weir_str_from("application/json"));
        if (info->status == 503) {
            weir_http_add_retry_after(ex, 1000000);
        }
        default_problem(info, &body);
    }
    int r = weir_http_respond(ex, info->status, weir_buf_view(&body));
    weir_buf_finish(&body);
    return r;
}

int weir_http_exchange_reject(struct weir_http_exchange *ex, enum weir_http_problem problem)
{
    if (!ex->request.is_head_complete) {
        weir_http_request_reset(&ex->request); /* half a header is nothing to look at */
    }
    ex->connection->server->stats.n_rejected++;
    int r = respond_to_problem(ex, weir_http_problem_info(problem));
    if (r >= 0) {
        weir_http_exchange_end(ex, WEIR_HTTP_END_REJECTED);
    }
    return r;
}

void weir_http_exchange_sent(struct weir_http_exchange *ex)
{
    const struct weir_http_server *s = ex->connection->server;
    if (!ex->is_announced || ex->is_ended) {
        return;
    }
    if (s->handler.on_sent) {
        s->handler.on_sent(s->user, ex);
    }
    if (ex->is_paused && ex->reply == WEIR_HTTP_REPLY_STREAM &&
        weir_http_pending_bytes(ex) <= s->limits.pending_low_bytes) {
        ex->is_paused = false;
        if (s->handler.on_writable) {
            s->handler.on_writable(s->user, ex);
        }
    }
}

bool weir_http_body_is_slow(const struct weir_http_exchange *ex, uint64_t start_ms,
                            uint64_t last_ms, uint64_t now_ms)
{
    const struct weir_http_limits *limits = &ex->connection->server->limits;
    uint64_t elapsed_ms = now_ms - start_ms;
    uint64_t wanted = elapsed_ms * limits->min_body_bytes_per_s / 1000;
    return (elapsed_ms > limits->body_grace_ms && ex->request.body.len < wanted) ||
           now_ms - last_ms > limits->body_idle_timeout_ms;
}
