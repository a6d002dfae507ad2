/* SPDX-License-Identifier: Apache-2.0 */
/* The reading half of a connection: bytes in, handlers called, bad requests refused. */
#include "core/net/http_server_internal.h"

enum { MAX_PROBLEM_BYTES = 4096 };

static uint64_t now_ms(const struct weir_http_connection *c)
{
    return uv_now(c->server->loop);
}

static bool begin_request(struct weir_http_connection *c)
{
    struct weir_http_exchange *ex = weir_http_server_take_exchange(c->server);
    if (!ex) {
        return false;
    }
    ex->connection = c;
    c->exchange = ex;
    c->sent_continue = false;
    weir_http_parser_begin(&c->parser, &ex->request);
    return true;
}

static void default_problem(const struct weir_http_problem_info *info, struct weir_buf *ret_body)
{
    weir_buf_add_text(ret_body, "{\"error\":{\"message\":");
    weir_buf_add_json_str(ret_body, weir_str_from(info->message));
    weir_buf_add_text(ret_body, ",\"type\":\"invalid_request_error\",\"param\":null,\"code\":");
    weir_buf_add_json_str(ret_body, weir_str_from(info->code));
    weir_buf_add_text(ret_body, "}}");
}

static int respond_to_problem(struct weir_http_connection *c,
                              const struct weir_http_problem_info *info)
{
    const struct weir_http_server *s = c->server;
    struct weir_http_exchange *ex = c->exchange;
    struct weir_buf body;
    weir_buf_init(&body, MAX_PROBLEM_BYTES);
    if (s->handler.on_problem) {
        s->handler.on_problem(s->user, ex, info, &body);
    } else {
        (void)weir_http_add_header(ex, "Content-Type", weir_str_from("application/json"));
        if (info->status == 503) {
            weir_http_add_retry_after(ex, 1000000);
        }
        default_problem(info, &body);
    }
    int r = weir_http_respond(ex, info->status, weir_buf_view(&body));
    weir_buf_finish(&body);
    return r;
}

void weir_http_connection_refuse(struct weir_http_connection *c, enum weir_http_problem problem)
{
    c->is_last = true;
    if (!c->exchange && !begin_request(c)) {
        weir_http_connection_close(c, WEIR_HTTP_END_REJECTED);
        return;
    }
    struct weir_http_exchange *ex = c->exchange;
    if (!ex->request.is_head_complete) {
        weir_http_request_reset(&ex->request); /* half a header is nothing to look at */
    }
    c->server->stats.n_rejected++;
    if (respond_to_problem(c, weir_http_problem_info(problem)) < 0) {
        weir_http_connection_close(c, WEIR_HTTP_END_REJECTED);
        return;
    }
    weir_http_connection_end_exchange(c, WEIR_HTTP_END_REJECTED);
}

static void announce(struct weir_http_connection *c)
{
    struct weir_http_server *s = c->server;
    c->exchange->is_announced = true;
    c->state = WEIR_HTTP_BODY;
    c->body_start_ms = now_ms(c);
    s->stats.n_requests++;
    s->stats.n_running++;
    if (s->handler.on_headers) {
        s->handler.on_headers(s->user, c->exchange);
    }
}

static void send_continue(struct weir_http_connection *c)
{
    static const weir_str go_on = WEIR_STR_INIT("HTTP/1.1 100 Continue\r\n\r\n");
    weir_http_output_add(&c->out, go_on.p, go_on.n);
    c->sent_continue = true;
    weir_http_server_mark_dirty(c);
}

/* The header is complete, and so much of the body as was read with it. */
static void dispatch(struct weir_http_connection *c)
{
    struct weir_http_exchange *ex = c->exchange;
    const struct weir_http_server *s = c->server;
    if (!ex->is_announced) {
        announce(c);
    }
    c->body_last_ms = now_ms(c);
    if (c->is_aborted || ex->reply != WEIR_HTTP_REPLY_NONE) {
        return;
    }
    if (ex->request.is_complete) {
        c->state = WEIR_HTTP_RUN;
        s->handler.on_request(s->user, ex);
    } else if (ex->request.expects_continue && !c->sent_continue && ex->request.body.len == 0) {
        send_continue(c);
    }
}

/* Reads one request from the bytes, or a part of it. Returns how many bytes were used; the others
 * belong to later requests. */
static size_t parse(struct weir_http_connection *c, const char *bytes, size_t n)
{
    if (!c->exchange && !begin_request(c)) {
        weir_http_connection_refuse(c, WEIR_HTTP_NO_MEMORY);
        return n;
    }
    size_t used = 0;
    enum weir_http_parsed parsed;
    do {
        size_t step;
        parsed = weir_http_parser_feed(&c->parser, bytes + used, n - used, &step);
        used += step;
    } while (parsed == WEIR_HTTP_PARSED_HEAD);

    if (parsed == WEIR_HTTP_PARSED_BAD) {
        weir_http_connection_refuse(c, c->parser.problem);
        return n;
    }
    if (c->state == WEIR_HTTP_IDLE && c->parser.has_begun) {
        c->state = WEIR_HTTP_HEAD;
        c->deadline_ms = now_ms(c) + c->server->limits.header_timeout_ms;
    }
    if (c->exchange->request.is_head_complete) {
        dispatch(c);
    }
    return used;
}

/* After the last request nothing that arrives matters, but it is read so that the client gets to
 * see the response rather than a reset. */
static void read_away(struct weir_http_connection *c, size_t n)
{
    c->n_lingered += n;
    if (c->n_lingered < c->server->limits.linger_bytes) {
        return;
    }
    if (c->state == WEIR_HTTP_LINGER) {
        weir_http_connection_close(c, WEIR_HTTP_END_DONE);
    } else {
        weir_http_connection_set_reading(c, false);
    }
}

static void keep_for_later(struct weir_http_connection *c, const char *bytes, size_t n)
{
    weir_buf_add(&c->stash, bytes, n);
    if (c->stash.failed) {
        c->is_aborted = true;
        weir_http_server_mark_dirty(c);
    } else if (c->stash.len >= c->server->limits.max_pipelined_bytes) {
        weir_http_connection_set_reading(c, false);
    }
}

static void take_input(struct weir_http_connection *c, const char *bytes, size_t n)
{
    size_t used = 0;
    if (c->state < WEIR_HTTP_RUN) {
        used = parse(c, bytes, n);
    }
    if (used == n || c->state == WEIR_HTTP_CLOSED) {
        return;
    }
    if (c->is_last || c->state == WEIR_HTTP_LINGER) {
        read_away(c, n - used);
    } else {
        keep_for_later(c, bytes + used, n - used);
    }
}

/* The client has closed its side. Nobody waits for an answer that is not there yet; one that is
 * complete is still sent, since the client may only have closed its sending half. */
static void take_end(struct weir_http_connection *c, bool is_error)
{
    c->has_peer_end = true;
    weir_http_connection_set_reading(c, false);
    bool is_answered = c->exchange && c->exchange->reply == WEIR_HTTP_REPLY_ENDED;
    if (c->state == WEIR_HTTP_RUN && is_answered && !is_error) {
        c->is_last = true;
        return;
    }
    weir_http_connection_close(c, WEIR_HTTP_END_CLIENT_GONE);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    (void)suggested;
    struct weir_http_connection *c = handle->data;
    *ret_buf = uv_buf_init(c->server->read_buf, sizeof(c->server->read_buf));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct weir_http_connection *c = stream->data;
    if (n < 0) {
        take_end(c, n != UV_EOF);
    } else if (n > 0) {
        c->server->stats.in_bytes += (uint64_t)n;
        take_input(c, buf->base, (size_t)n);
    }
}

void weir_http_connection_set_reading(struct weir_http_connection *c, bool on)
{
    if (c->is_reading == on || c->state == WEIR_HTTP_CLOSED) {
        return;
    }
    c->is_reading = on;
    if (!on) {
        (void)uv_read_stop(&c->io.stream);
    } else if (uv_read_start(&c->io.stream, on_alloc, on_read) < 0) {
        c->is_aborted = true;
        weir_http_server_mark_dirty(c);
    }
}

void weir_http_connection_resume(struct weir_http_connection *c)
{
    if (c->stash.len > 0) {
        size_t used = parse(c, c->stash.data, c->stash.len);
        weir_buf_consume(&c->stash, used);
    }
    if (!c->has_peer_end && c->stash.len < c->server->limits.max_pipelined_bytes) {
        weir_http_connection_set_reading(c, true);
    }
}
