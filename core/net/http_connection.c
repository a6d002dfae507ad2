/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a connection: opening, reading, sending, deadlines, closing. */
#include "core/net/http_connection.h"

#include <poll.h>

#include "core/net/http_server_internal.h"

enum { TCP_KEEPALIVE_S = 60 };

static uint64_t now_ms(const struct weir_http_connection *c)
{
    return uv_now(c->server->loop);
}

static struct weir_http_connection *connection_of(struct weir_http_output *out)
{
    return (struct weir_http_connection *)((char *)out -
                                           offsetof(struct weir_http_connection, out));
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
    c->protocol->close(c, why);
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
void weir_http_connection_linger(struct weir_http_connection *c)
{
    c->shutdown.data = c;
    if (c->tls) {
        weir_tls_close(c->tls);
        (void)weir_http_output_flush(&c->out);
    }
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

void weir_http_connection_flush(struct weir_http_connection *c)
{
    if (c->state == WEIR_HTTP_CLOSED) {
        return;
    }
    if (c->is_aborted) {
        weir_http_connection_close(c, WEIR_HTTP_END_ABORTED);
        return;
    }
    if (c->protocol->fill && c->protocol->fill(c) < 0) {
        weir_http_connection_close(c, WEIR_HTTP_END_CLIENT_GONE);
        return;
    }
    c->server->stats.out_bytes += c->out.n_given - c->n_counted;
    c->n_counted = c->out.n_given;
    if (weir_http_output_flush(&c->out) < 0) {
        weir_http_connection_close(c, WEIR_HTTP_END_CLIENT_GONE);
        return;
    }
    if (c->state < WEIR_HTTP_LINGER) {
        c->protocol->sent(c);
    }
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
    weir_http_output_open(&c->out, &c->io.stream, c->tls, on_written);
    c->protocol = &weir_http1; /* until the first bytes tell */
    c->state = WEIR_HTTP_IDLE;
    c->deadline_ms = now_ms(c) + limits->header_timeout_ms;
    weir_http_connection_set_reading(c, true);
}

static bool poll_socket(const struct weir_http_connection *c, short events)
{
    uv_os_fd_t fd;
    if (uv_fileno(&c->io.handle, &fd) < 0) {
        return false;
    }
    struct pollfd p = {.fd = fd, .events = events};
    return poll(&p, 1, 0) > 0;
}

bool weir_http_connection_is_hung_up(const struct weir_http_connection *c)
{
    return poll_socket(c, POLLRDHUP);
}

bool weir_http_connection_has_unread(const struct weir_http_connection *c)
{
    return poll_socket(c, POLLIN);
}

void weir_http_connection_tick(struct weir_http_connection *c, uint64_t now)
{
    if (c->state == WEIR_HTTP_LINGER) {
        if (now >= c->deadline_ms) {
            weir_http_connection_close(c, WEIR_HTTP_END_DONE);
        }
    } else if (c->state != WEIR_HTTP_CLOSED) {
        c->protocol->tick(c, now);
    }
}

void weir_http_connection_drain(struct weir_http_connection *c)
{
    if (c->state < WEIR_HTTP_LINGER) {
        c->protocol->drain(c);
    }
}

/* ---- reading ---- */

void weir_http_connection_read_away(struct weir_http_connection *c, size_t n)
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

static void choose_protocol(struct weir_http_connection *c, bool is_http2)
{
    c->is_decided = true;
    if (is_http2 && weir_http2_open(c) < 0) {
        weir_http_connection_close(c, WEIR_HTTP_END_DONE);
    }
}

/* A client that knows that we speak HTTP/2 begins with a fixed preface, which is no request of
 * HTTP/1.1. Until the first difference, or its end, the bytes are kept. */
static void look_for_preface(struct weir_http_connection *c, const char *bytes, size_t n)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    enum { PREFACE_BYTES = sizeof(preface) - 1 };
    size_t n_seen = c->stash.len;
    size_t n_look = n < PREFACE_BYTES - n_seen ? n : PREFACE_BYTES - n_seen;
    bool is_same =
        c->server->limits.max_streams > 0 && memcmp(preface + n_seen, bytes, n_look) == 0;
    if (is_same && n_seen + n_look < PREFACE_BYTES) {
        weir_buf_add(&c->stash, bytes, n);
        return;
    }
    struct weir_buf early = c->stash;
    weir_buf_init(&c->stash, early.max_bytes);
    choose_protocol(c, is_same);
    if (c->state != WEIR_HTTP_CLOSED && early.len > 0) {
        c->protocol->take_input(c, early.data, early.len);
    }
    weir_buf_finish(&early);
    if (c->state != WEIR_HTTP_CLOSED) {
        c->protocol->take_input(c, bytes, n);
    }
}

static void take_plain(struct weir_http_connection *c, const char *bytes, size_t n)
{
    if (c->state == WEIR_HTTP_LINGER) {
        weir_http_connection_read_away(c, n);
    } else if (c->is_decided) {
        c->protocol->take_input(c, bytes, n);
    } else if (c->state != WEIR_HTTP_CLOSED) {
        look_for_preface(c, bytes, n);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    (void)suggested;
    struct weir_http_connection *c = handle->data;
    *ret_buf = uv_buf_init(c->server->read_buf, sizeof(c->server->read_buf));
}

static void take_end(struct weir_http_connection *c, bool is_error)
{
    c->has_peer_end = true;
    weir_http_connection_set_reading(c, false);
    if (c->state == WEIR_HTTP_LINGER) {
        weir_http_connection_close(c, WEIR_HTTP_END_CLIENT_GONE);
    } else if (c->state != WEIR_HTTP_CLOSED) {
        c->protocol->take_end(c, is_error);
    }
}

/* What both sides have agreed on in the handshake, as soon as it is done. */
static void note_handshake(struct weir_http_connection *c)
{
    if (!c->is_decided && weir_tls_is_ready(c->tls)) {
        choose_protocol(c, weir_tls_is_http2(c->tls));
    }
}

static void take_sealed(struct weir_http_connection *c, const char *bytes, size_t n)
{
    char *plain = c->server->plain_buf;
    int r;
    weir_tls_feed(c->tls, bytes, n);
    while ((r = weir_tls_read(c->tls, plain, WEIR_HTTP_PLAIN_BYTES)) > 0) {
        note_handshake(c);
        take_plain(c, plain, (size_t)r);
        if (c->state == WEIR_HTTP_CLOSED) {
            return;
        }
    }
    note_handshake(c);
    if (weir_tls_output(c->tls)->len > 0) {
        weir_http_server_mark_dirty(c);
    }
    if (r == WEIR_E_GONE) {
        take_end(c, false);
    } else if (r < 0) {
        (void)weir_http_output_flush(&c->out); /* an alert says why */
        weir_http_connection_close(c, WEIR_HTTP_END_CLIENT_GONE);
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct weir_http_connection *c = stream->data;
    if (n < 0) {
        take_end(c, n != UV_EOF);
    } else if (n > 0) {
        c->server->stats.in_bytes += (uint64_t)n;
        if (c->tls) {
            take_sealed(c, buf->base, (size_t)n);
        } else {
            take_plain(c, buf->base, (size_t)n);
        }
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
