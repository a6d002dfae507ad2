/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a connection: opening, reading, sending, deadlines, closing. */
#include "core/net/http_connection.h"

#include <poll.h>

#include "core/net/http_server_internal.h"

static uint64_t now_ms(const struct weir_http_connection *c)
{
    return uv_now(c->server->loop);
}

static struct weir_http_connection *connection_of(struct weir_socket *socket)
{
    return (struct weir_http_connection *)((char *)socket -
                                           offsetof(struct weir_http_connection, socket));
}

static void on_closed(struct weir_socket *socket)
{
    weir_http_server_forget(connection_of(socket));
}

void weir_http_connection_close(struct weir_http_connection *c, enum weir_http_end why)
{
    if (c->state == WEIR_HTTP_CLOSED) {
        return;
    }
    c->state = WEIR_HTTP_CLOSED;
    c->protocol->close(c, why);
    if (why == WEIR_HTTP_END_STALLED) {
        /* What a stalled client never took must not stay in the kernel for it. */
        weir_socket_reset(&c->socket);
    } else {
        weir_socket_close(&c->socket);
    }
}

/* With TLS, its last record may have to wait. */
static bool end_sending(const struct weir_http_connection *c)
{
    return weir_socket_is_waiting(&c->socket) || shutdown(c->socket.fd, SHUT_WR) == 0;
}

/* Closing while the client still sends would make the kernel answer with a reset, which can
 * destroy the response on its way. So: close our half, read away theirs for a while. */
void weir_http_connection_linger(struct weir_http_connection *c)
{
    if (c->tls) {
        weir_tls_close(c->tls);
        (void)weir_http_output_flush(&c->out);
    }
    if (c->has_peer_end || c->n_lingered >= c->server->limits.linger_bytes || !end_sending(c)) {
        weir_http_connection_close(c, WEIR_HTTP_END_DONE);
        return;
    }
    c->state = WEIR_HTTP_LINGER;
    c->deadline_ms = now_ms(c) + c->server->limits.linger_timeout_ms;
    weir_buf_finish(&c->stash);
    weir_http_connection_set_reading(c, true);
}

bool weir_http_connection_send(struct weir_http_connection *c)
{
    if (c->state == WEIR_HTTP_CLOSED) {
        return false;
    }
    if (c->is_aborted) {
        weir_http_connection_close(c, WEIR_HTTP_END_ABORTED);
        return false;
    }
    if (c->protocol->fill && c->protocol->fill(c) < 0) {
        weir_http_connection_close(c, WEIR_HTTP_END_CLIENT_GONE);
        return false;
    }
    uint64_t n_given = weir_http_output_given(&c->out);
    c->server->stats.out_bytes += n_given - c->n_counted;
    c->n_counted = n_given;
    if (weir_http_output_flush(&c->out) < 0) {
        weir_http_connection_close(c, WEIR_HTTP_END_CLIENT_GONE);
        return false;
    }
    return true;
}

void weir_http_connection_sent(struct weir_http_connection *c)
{
    if (c->state < WEIR_HTTP_LINGER) {
        c->protocol->sent(c);
    }
}

static void on_writable(struct weir_socket *socket)
{
    struct weir_http_connection *c = connection_of(socket);
    if (weir_http_connection_send(c)) {
        weir_http_connection_sent(c);
    }
    if (c->state == WEIR_HTTP_LINGER && !end_sending(c)) {
        weir_http_connection_close(c, WEIR_HTTP_END_DONE);
    }
}

static void name_peer(struct weir_http_connection *c, const struct sockaddr_storage *peer)
{
    static const char mapped[] = "::ffff:";
    if (c->is_unix) {
        memcpy(c->peer, "unix", sizeof("unix"));
        return;
    }
    if (uv_ip_name((const struct sockaddr *)peer, c->peer, sizeof(c->peer)) < 0) {
        c->peer[0] = '\0';
        return;
    }
    size_t n_mapped = sizeof(mapped) - 1;
    if (strncmp(c->peer, mapped, n_mapped) == 0) { /* IPv4 through a dual-stack socket */
        memmove(c->peer, c->peer + n_mapped, strlen(c->peer) - n_mapped + 1);
    }
}

static void on_input(struct weir_socket *socket, const char *bytes, size_t n);
static void on_end(struct weir_socket *socket, int status);

int weir_http_connection_open(struct weir_http_connection *c, int fd,
                              const struct sockaddr_storage *peer)
{
    static const struct weir_socket_events events = {
        .input = on_input,
        .end = on_end,
        .writable = on_writable,
        .closed = on_closed,
    };
    const struct weir_http_limits *limits = &c->server->limits;
    int r = weir_socket_open(&c->socket, &c->server->sockets, fd, &events);
    if (r < 0) {
        return r;
    }
    c->is_unix = peer->ss_family == AF_UNIX;
    name_peer(c, peer);
    weir_http_parser_init(&c->parser, limits);
    weir_buf_init(&c->stash, limits->max_pipelined_bytes + WEIR_SOCKETS_READ_BYTES);
    weir_http_output_open(&c->out, &c->socket, c->tls);
    c->protocol = &weir_http1; /* until the first bytes tell */
    c->state = WEIR_HTTP_IDLE;
    c->deadline_ms = now_ms(c) + limits->header_timeout_ms;
    weir_http_server_add_connection(c->server, c);
    weir_http_connection_set_reading(c, true);
    return 0;
}

bool weir_http_connection_has_unread(const struct weir_http_connection *c)
{
    struct pollfd p = {.fd = c->socket.fd, .events = POLLIN};
    return poll(&p, 1, 0) > 0;
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

static void on_end(struct weir_socket *socket, int status)
{
    take_end(connection_of(socket), status != UV_EOF);
}

static void on_input(struct weir_socket *socket, const char *bytes, size_t n)
{
    struct weir_http_connection *c = connection_of(socket);
    c->server->stats.in_bytes += n;
    if (c->tls) {
        take_sealed(c, bytes, n);
    } else {
        take_plain(c, bytes, n);
    }
}

void weir_http_connection_set_reading(struct weir_http_connection *c, bool on)
{
    weir_socket_set_reading(&c->socket, on);
}
