/* SPDX-License-Identifier: Apache-2.0 */
/* The reading half of an HTTP/1.1 connection: bytes in, handlers called, bad requests refused. */
#include "core/net/http_server_internal.h"

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

void weir_http1_refuse(struct weir_http_connection *c, enum weir_http_problem problem)
{
    c->is_last = true;
    if (!c->exchange && !begin_request(c)) {
        weir_http_connection_close(c, WEIR_HTTP_END_REJECTED);
        return;
    }
    if (weir_http_exchange_reject(c->exchange, problem) < 0) {
        weir_http_connection_close(c, WEIR_HTTP_END_REJECTED);
    }
}

static void send_continue(struct weir_http_connection *c)
{
    static const weir_str go_on = WEIR_STR_INIT("HTTP/1.1 100 Continue\r\n\r\n");
    weir_buf_add_str(&c->out.fill, go_on);
    c->sent_continue = true;
    weir_http_server_mark_dirty(c);
}

/* The header is complete, and so much of the body as was read with it. */
static void dispatch(struct weir_http_connection *c)
{
    struct weir_http_exchange *ex = c->exchange;
    const struct weir_http_server *s = c->server;
    if (!ex->is_announced) {
        c->state = WEIR_HTTP_BODY;
        c->body_start_ms = now_ms(c);
        weir_http_exchange_announce(ex);
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
        weir_http1_refuse(c, WEIR_HTTP_NO_MEMORY);
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
        weir_http1_refuse(c, c->parser.problem);
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

void weir_http1_take_input(struct weir_http_connection *c, const char *bytes, size_t n)
{
    size_t used = 0;
    if (c->state < WEIR_HTTP_RUN) {
        used = parse(c, bytes, n);
    }
    if (used == n || c->state == WEIR_HTTP_CLOSED) {
        return;
    }
    if (c->is_last) {
        weir_http_connection_read_away(c, n - used);
    } else {
        keep_for_later(c, bytes + used, n - used);
    }
}

void weir_http1_resume(struct weir_http_connection *c)
{
    if (c->stash.len > 0) {
        size_t used = parse(c, c->stash.data, c->stash.len);
        weir_buf_consume(&c->stash, used);
    }
    if (!c->has_peer_end && c->stash.len < c->server->limits.max_pipelined_bytes) {
        weir_http_connection_set_reading(c, true);
    }
}
