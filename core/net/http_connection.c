/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a connection: opening, sending, deadlines, closing. */
#include "core/net/http_connection.h"

#include <poll.h>

#include "core/net/http_server_internal.h"

enum { TCP_KEEPALIVE_S = 60, DRAIN_GRACE_MS = 1000 };

static uint64_t now_ms(const struct weir_http_connection *c)
{
    return uv_now(c->server->loop);
}

static struct weir_http_connection *connection_of(struct weir_http_output *out)
{
    return (struct weir_http_connection *)((char *)out -
                                           offsetof(struct weir_http_connection, out));
}

void weir_http_connection_end_exchange(struct weir_http_connection *c, enum weir_http_end why)
{
    struct weir_http_exchange *ex = c->exchange;
    struct weir_http_server *s = c->server;
    if (!ex || !ex->is_announced || ex->is_ended) {
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

static void drop_exchange(struct weir_http_connection *c, enum weir_http_end why)
{
    weir_http_connection_end_exchange(c, why);
    if (c->exchange) {
        weir_http_server_give_exchange(c->server, c->exchange);
        c->exchange = NULL;
    }
}

static void on_close(uv_handle_t *handle)
{
    weir_http_server_forget(handle->data);
}

void weir_http_connection_close(struct weir_http_connection *c, enum weir_http_end why)
{
    if (c->state == WEIR_HTTP_CLOSED) {
        return;
    }
    c->state = WEIR_HTTP_CLOSED;
    drop_exchange(c, why);
    /* What a stalled client never took must not stay in the kernel for it. */
    bool resets = why == WEIR_HTTP_END_STALLED && c->io.handle.type == UV_TCP;
    if (!resets || uv_tcp_close_reset(&c->io.tcp, on_close) < 0) {
        uv_close(&c->io.handle, on_close);
    }
}

static void on_shutdown(uv_shutdown_t *shutdown, int status)
{
    struct weir_http_connection *c = shutdown->data;
    if (status < 0) {
        weir_http_connection_close(c, WEIR_HTTP_END_DONE);
    }
}

/* Closing while the client still sends would make the kernel answer with a reset, which can
 * destroy the response on its way. So: close our half, read away theirs for a while. */
static void linger(struct weir_http_connection *c)
{
    c->shutdown.data = c;
    if (c->has_peer_end || c->n_lingered >= c->server->limits.linger_bytes ||
        uv_shutdown(&c->shutdown, &c->io.stream, on_shutdown) < 0) {
        weir_http_connection_close(c, WEIR_HTTP_END_DONE);
        return;
    }
    c->state = WEIR_HTTP_LINGER;
    c->deadline_ms = now_ms(c) + c->server->limits.linger_timeout_ms;
    weir_buf_finish(&c->stash);
    weir_http_connection_set_reading(c, true);
}

static void finish_response(struct weir_http_connection *c)
{
    drop_exchange(c, WEIR_HTTP_END_DONE);
    c->n_requests++;
    weir_http_output_trim(&c->out);
    if (c->is_last || c->server->is_draining || c->has_peer_end) {
        linger(c);
        return;
    }
    c->state = WEIR_HTTP_IDLE;
    c->deadline_ms = now_ms(c) + c->server->limits.keepalive_timeout_ms;
    weir_http_connection_resume(c);
}

/* The output may have shrunk: perhaps the producer can go on, perhaps the response is done. */
static void after_send(struct weir_http_connection *c)
{
    struct weir_http_server *s = c->server;
    struct weir_http_exchange *ex = c->exchange;
    size_t pending = weir_http_output_pending(&c->out);
    if (!ex) {
        return;
    }
    if (ex->is_announced && !ex->is_ended && s->handler.on_sent) {
        s->handler.on_sent(s->user, ex);
    }
    if (ex->is_paused && ex->reply == WEIR_HTTP_REPLY_STREAM && !ex->is_ended &&
        pending <= s->limits.pending_low_bytes) {
        ex->is_paused = false;
        if (s->handler.on_writable) {
            s->handler.on_writable(s->user, ex);
        }
    } else if (ex->reply == WEIR_HTTP_REPLY_ENDED && pending == 0) {
        finish_response(c);
    }
}

void weir_http_connection_flush(struct weir_http_connection *c)
{
    if (c->state == WEIR_HTTP_CLOSED) {
        return;
    }
    if (c->is_aborted) {
        weir_http_connection_close(c, WEIR_HTTP_END_ABORTED);
        return;
    }
    c->server->stats.out_bytes += c->out.n_given - c->n_counted;
    c->n_counted = c->out.n_given;
    if (weir_http_output_flush(&c->out) < 0) {
        weir_http_connection_close(c, WEIR_HTTP_END_CLIENT_GONE);
        return;
    }
    after_send(c);
}

static void on_written(struct weir_http_output *out, int status)
{
    struct weir_http_connection *c = connection_of(out);
    if (status < 0) {
        weir_http_connection_close(c, WEIR_HTTP_END_CLIENT_GONE);
    } else {
        weir_http_connection_flush(c);
    }
}

static void name_peer(struct weir_http_connection *c)
{
    static const char mapped[] = "::ffff:";
    struct sockaddr_storage address;
    int n = sizeof(address);
    if (c->io.handle.type != UV_TCP) {
        memcpy(c->peer, "unix", sizeof("unix"));
        return;
    }
    c->peer[0] = '\0';
    if (uv_tcp_getpeername(&c->io.tcp, (struct sockaddr *)&address, &n) < 0 ||
        uv_ip_name((struct sockaddr *)&address, c->peer, sizeof(c->peer)) < 0) {
        return;
    }
    size_t n_mapped = sizeof(mapped) - 1;
    if (strncmp(c->peer, mapped, n_mapped) == 0) { /* IPv4 through a dual-stack socket */
        memmove(c->peer, c->peer + n_mapped, strlen(c->peer) - n_mapped + 1);
    }
}

void weir_http_connection_open(struct weir_http_connection *c)
{
    const struct weir_http_limits *limits = &c->server->limits;
    if (c->io.handle.type == UV_TCP) {
        (void)uv_tcp_nodelay(&c->io.tcp, 1);
        (void)uv_tcp_keepalive(&c->io.tcp, 1, TCP_KEEPALIVE_S);
    }
    name_peer(c);
    weir_http_parser_init(&c->parser, limits);
    weir_buf_init(&c->stash, limits->max_pipelined_bytes + WEIR_HTTP_READ_BYTES);
    weir_http_output_open(&c->out, &c->io.stream, on_written);
    c->state = WEIR_HTTP_IDLE;
    c->deadline_ms = now_ms(c) + limits->header_timeout_ms;
    weir_http_connection_set_reading(c, true);
}

static void check_body(struct weir_http_connection *c, uint64_t now)
{
    const struct weir_http_limits *limits = &c->server->limits;
    uint64_t elapsed_ms = now - c->body_start_ms;
    uint64_t wanted = elapsed_ms * limits->min_body_bytes_per_s / 1000;
    bool is_slow = elapsed_ms > limits->body_grace_ms && c->exchange->request.body.len < wanted;
    if (is_slow || now - c->body_last_ms > limits->body_idle_timeout_ms) {
        weir_http_connection_refuse(c, WEIR_HTTP_BODY_TIMEOUT);
    }
}

/* A socket that is not read cannot report its end through the loop. */
static bool has_hung_up(const struct weir_http_connection *c)
{
    uv_os_fd_t fd;
    if (uv_fileno(&c->io.handle, &fd) < 0) {
        return true;
    }
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    return poll(&p, 1, 0) > 0;
}

static void check_client(struct weir_http_connection *c, uint64_t now)
{
    uint64_t stalled_ms = weir_http_output_stalled_ms(&c->out, now);
    if (stalled_ms > c->server->limits.write_stall_timeout_ms) {
        weir_http_connection_close(c, WEIR_HTTP_END_STALLED);
    } else if (!c->is_reading && !c->has_peer_end && has_hung_up(c)) {
        weir_http_connection_close(c, WEIR_HTTP_END_CLIENT_GONE);
    }
}

void weir_http_connection_tick(struct weir_http_connection *c, uint64_t now)
{
    switch (c->state) {
    case WEIR_HTTP_IDLE:
    case WEIR_HTTP_LINGER:
        if (now >= c->deadline_ms) {
            weir_http_connection_close(c, WEIR_HTTP_END_DONE);
        }
        break;
    case WEIR_HTTP_HEAD:
        if (now >= c->deadline_ms) {
            weir_http_connection_refuse(c, WEIR_HTTP_HEADER_TIMEOUT);
        }
        break;
    case WEIR_HTTP_BODY: check_body(c, now); break;
    case WEIR_HTTP_RUN: check_client(c, now); break;
    case WEIR_HTTP_CLOSED: break;
    }
}

/* Has the kernel bytes of a request that we have not read? */
static bool has_unread(const struct weir_http_connection *c)
{
    uv_os_fd_t fd;
    if (uv_fileno(&c->io.handle, &fd) < 0) {
        return false;
    }
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) > 0;
}

void weir_http_connection_drain(struct weir_http_connection *c)
{
    if (c->state != WEIR_HTTP_IDLE) {
        return;
    }
    if (c->n_requests > 0 && !has_unread(c)) {
        weir_http_connection_close(c, WEIR_HTTP_END_DONE);
        return;
    }
    /* A new client's first request is on its way, or a request has just arrived. */
    uint64_t soon = now_ms(c) + DRAIN_GRACE_MS;
    c->deadline_ms = soon < c->deadline_ms ? soon : c->deadline_ms;
}
