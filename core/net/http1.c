/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1: one exchange after the other on a connection, and how a response is framed. */
#include <time.h>

#include "base/put.h"
#include "core/net/http_server_internal.h"

enum { DRAIN_GRACE_MS = 1000 };

static uint64_t now_ms(const struct weir_http_connection *c)
{
    return uv_now(c->server->loop);
}

/* ---- the connection ---- */

static void drop_exchange(struct weir_http_connection *c, enum weir_http_end why)
{
    struct weir_http_exchange *ex = c->exchange;
    if (ex) {
        weir_http_exchange_end(ex, why);
        c->exchange = NULL;
        weir_http_server_give_exchange(c->server, ex);
    }
}

/* The client has closed its side. Nobody waits for an answer that is not there yet; one that is
 * complete is still sent, since the client may only have closed its sending half. */
static void take_end(struct weir_http_connection *c, bool is_error)
{
    bool is_answered = c->exchange && c->exchange->reply == WEIR_HTTP_REPLY_ENDED;
    if (c->state == WEIR_HTTP_RUN && is_answered && !is_error) {
        c->is_last = true;
        return;
    }
    weir_http_connection_close(c, WEIR_HTTP_END_CLIENT_GONE);
}

static void finish_response(struct weir_http_connection *c)
{
    drop_exchange(c, WEIR_HTTP_END_DONE);
    c->n_requests++;
    weir_http_output_trim(&c->out);
    if (c->is_last || c->server->is_draining || c->has_peer_end) {
        weir_http_connection_linger(c);
        return;
    }
    c->state = WEIR_HTTP_IDLE;
    c->deadline_ms = now_ms(c) + c->server->limits.keepalive_timeout_ms;
    weir_http1_resume(c);
}

static void sent(struct weir_http_connection *c)
{
    struct weir_http_exchange *ex = c->exchange;
    if (!ex) {
        return;
    }
    weir_http_exchange_sent(ex);
    if (ex->reply == WEIR_HTTP_REPLY_ENDED && weir_http_output_pending(&c->out) == 0) {
        finish_response(c);
    }
}

/* A socket that is not read cannot report its end through the loop. */
static bool has_hung_up(const struct weir_http_connection *c)
{
    return !c->socket.is_reading && !c->has_peer_end && weir_socket_has_hung_up(&c->socket);
}

static void tick(struct weir_http_connection *c, uint64_t now)
{
    switch (c->state) {
    case WEIR_HTTP_IDLE:
        if (now >= c->deadline_ms) {
            weir_http_connection_close(c, WEIR_HTTP_END_DONE);
        }
        break;
    case WEIR_HTTP_HEAD:
        if (now >= c->deadline_ms) {
            weir_http1_refuse(c, WEIR_HTTP_HEADER_TIMEOUT);
        }
        break;
    case WEIR_HTTP_BODY:
        if (weir_http_body_is_slow(c->exchange, c->body_start_ms, c->body_last_ms, now)) {
            weir_http1_refuse(c, WEIR_HTTP_BODY_TIMEOUT);
        }
        break;
    case WEIR_HTTP_RUN:
        if (weir_http_output_stalled_ms(&c->out, now) > c->server->limits.write_stall_timeout_ms) {
            weir_http_connection_close(c, WEIR_HTTP_END_STALLED);
        } else if (has_hung_up(c)) {
            weir_http_connection_close(c, WEIR_HTTP_END_CLIENT_GONE);
        }
        break;
    case WEIR_HTTP_LINGER:
    case WEIR_HTTP_CLOSED: break;
    }
}

static void drain(struct weir_http_connection *c)
{
    if (c->state != WEIR_HTTP_IDLE) {
        return;
    }
    if (c->n_requests > 0 && !weir_http_connection_has_unread(c)) {
        weir_http_connection_close(c, WEIR_HTTP_END_DONE);
        return;
    }
    /* A new client's first request is on its way, or a request has just arrived. */
    uint64_t soon = now_ms(c) + DRAIN_GRACE_MS;
    c->deadline_ms = soon < c->deadline_ms ? soon : c->deadline_ms;
}

/* ---- responses ---- */

static const char *reason_phrase(int status)
{
    switch (status) {
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return ""; /* the phrase may be empty (RFC 9112 §4) */
    }
}

static bool may_keep_alive(const struct weir_http_exchange *ex)
{
    const struct weir_http_connection *c = ex->connection;
    const struct weir_http_server *s = c->server;
    uint32_t max = s->limits.max_requests_per_connection;
    return ex->request.keep_alive && ex->request.is_complete && !s->is_draining && !c->is_last &&
           (max == 0 || c->n_requests + 1 < max);
}

/* Without printf: this is in the path of every event. */
static void add_hex(struct weir_buf *out, uint64_t value)
{
    char digits[16];
    size_t at = sizeof(digits);
    do {
        digits[--at] = "0123456789abcdef"[value & 15];
        value >>= 4;
    } while (value);
    weir_buf_add(out, digits + at, sizeof(digits) - at);
}

static char *put_framing(char *to, struct weir_http_exchange *ex, int status, int64_t n_body)
{
    struct weir_http_connection *c = ex->connection;
    if (n_body != WEIR_HTTP_NO_LENGTH && status != 204 && status != 304) {
        to = weir_put_u64(weir_put_text(to, "Content-Length: "), (uint64_t)n_body);
        to = weir_put_text(to, "\r\n");
    } else if (n_body == WEIR_HTTP_NO_LENGTH && ex->request.version_minor == 0) {
        c->is_last = c->is_last || !ex->hides_body;
    } else if (n_body == WEIR_HTTP_NO_LENGTH && status != 204 && status != 304) {
        ex->is_chunked = true;
        to = weir_put_text(to, "Transfer-Encoding: chunked\r\n");
    }
    c->is_last = !may_keep_alive(ex);
    if (c->is_last) {
        return weir_put_text(to, "Connection: close\r\n");
    }
    return ex->request.version_minor == 0 ? weir_put_text(to, "Connection: keep-alive\r\n") : to;
}

static char *put_status(char *to, int status)
{
    if (status == 200) {
        return weir_put_text(to, "HTTP/1.1 200 OK\r\n");
    }
    to = weir_put_u64(weir_put_text(to, "HTTP/1.1 "), (uint64_t)status);
    to = weir_put_str(weir_put_text(to, " "), weir_str_from(reason_phrase(status)));
    return weir_put_text(to, "\r\n");
}

static void write_head(struct weir_http_exchange *ex, int status, int64_t n_body)
{
    struct weir_http_connection *c = ex->connection;
    struct weir_buf *out = &c->out.fill;
    char *head = weir_buf_reserve(out, ex->fields.len + WEIR_HTTP_OVERHEAD_BYTES);
    if (!head) {
        return; /* the connection is broken now */
    }
    char *to = put_status(head, status);
    to = weir_put_str(to, weir_http_date_line(&c->server->date, time(NULL)));
    to = put_framing(to, ex, status, n_body);
    to = weir_put_text(weir_put_str(to, weir_buf_view(&ex->fields)), "\r\n");
    weir_buf_commit(out, (size_t)(to - head));
}

static int begin(struct weir_http_exchange *ex, int status, int64_t n_body)
{
    struct weir_http_connection *c = ex->connection;
    write_head(ex, status, n_body);
    weir_buf_reset(&ex->fields); /* trailers, from now on */
    c->state = WEIR_HTTP_RUN;    /* what is left of the request's body is not wanted any more */
    return WEIR_OK;
}

static void write_body(struct weir_http_exchange *ex, weir_str bytes)
{
    struct weir_buf *out = &ex->connection->out.fill;
    if (ex->is_chunked) {
        add_hex(out, bytes.n);
        weir_buf_add_text(out, "\r\n");
    }
    weir_buf_add_str(out, bytes);
    if (ex->is_chunked) {
        weir_buf_add_text(out, "\r\n");
    }
}

static void end(struct weir_http_exchange *ex)
{
    struct weir_http_output *out = &ex->connection->out;
    if (!ex->is_chunked || ex->hides_body) {
        return;
    }
    weir_buf_add_text(&out->fill, "0\r\n");
    if (ex->fields.len <= weir_http_output_room(out)) { /* the end is worth more than trailers */
        weir_buf_add_str(&out->fill, weir_buf_view(&ex->fields));
    }
    weir_buf_add_text(&out->fill, "\r\n");
}

static void give_up(struct weir_http_exchange *ex)
{
    ex->connection->is_aborted = true;
}

static bool is_broken(const struct weir_http_exchange *ex)
{
    return ex->connection->is_aborted || ex->connection->out.fill.failed;
}

static size_t room(const struct weir_http_exchange *ex)
{
    return weir_http_output_room(&ex->connection->out);
}

static size_t pending(const struct weir_http_exchange *ex)
{
    return weir_http_output_pending(&ex->connection->out);
}

static uint64_t given(const struct weir_http_exchange *ex)
{
    return weir_http_output_given(&ex->connection->out);
}

static uint64_t taken(const struct weir_http_exchange *ex)
{
    return weir_http_output_taken(&ex->connection->out);
}

const struct weir_http_protocol weir_http1 = {
    .take_input = weir_http1_take_input,
    .take_end = take_end,
    .sent = sent,
    .tick = tick,
    .drain = drain,
    .refuse = weir_http1_refuse,
    .close = drop_exchange,
    .begin = begin,
    .write = write_body,
    .end = end,
    .abort = give_up,
    .is_broken = is_broken,
    .room = room,
    .pending = pending,
    .given = given,
    .taken = taken,
};
