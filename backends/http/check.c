/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/tls_client.h"

enum { HEAD_BYTES = 64, PIECE_BYTES = 4096, MAX_REQUEST_BYTES = 16384 };

struct check {
    int fd;
    uint64_t deadline_us;
    const weir_host *host;
    struct weir_tls_client *tls; /* NULL: none */
    char head[HEAD_BYTES];       /* the answer's beginning */
    size_t n_head;
};

static int wait_for(const struct check *c, short events)
{
    uint64_t now_us = c->host->now_us(c->host);
    if (now_us >= c->deadline_us) {
        return WEIR_E_TIMEOUT;
    }
    struct pollfd p = {.fd = c->fd, .events = events};
    int n = poll(&p, 1, (int)((c->deadline_us - now_us) / 1000 + 1));
    return n > 0 ? 0 : n == 0 ? WEIR_E_TIMEOUT : WEIR_E_IO;
}

static int connect_to(struct check *c, const struct addrinfo *a)
{
    c->fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0) {
        return WEIR_E_IO;
    }
    if (connect(c->fd, a->ai_addr, a->ai_addrlen) == 0) {
        return 0;
    }
    int r = errno == EINPROGRESS ? wait_for(c, POLLOUT) : WEIR_E_IO;
    int problem = 0;
    socklen_t n_bytes = sizeof(problem);
    if (r == 0 && (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &problem, &n_bytes) < 0 || problem)) {
        r = WEIR_E_IO;
    }
    if (r < 0) {
        (void)close(c->fd);
        c->fd = -1;
    }
    return r;
}

/* To the first of the server's addresses that takes it. */
static int connect_any(struct check *c, const struct weir_upstream_settings *s)
{
    char port[8];
    (void)snprintf(port, sizeof(port), "%u", s->port);
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = s->is_address ? AI_NUMERICHOST : 0};
    struct addrinfo *list = NULL;
    if (getaddrinfo(s->host, port, &hints, &list) != 0) {
        return WEIR_E_NOTFOUND;
    }
    int r = WEIR_E_NOTFOUND;
    for (const struct addrinfo *a = list; a && r < 0 && r != WEIR_E_TIMEOUT; a = a->ai_next) {
        r = connect_to(c, a);
    }
    freeaddrinfo(list);
    return r;
}

static int send_all(struct check *c, struct weir_buf *bytes)
{
    while (bytes->len > 0) {
        ssize_t n = send(c->fd, bytes->data, bytes->len, MSG_NOSIGNAL);
        if (n > 0) {
            weir_buf_consume(bytes, (size_t)n);
        } else if (n < 0 && errno == EAGAIN) {
            int r = wait_for(c, POLLOUT);
            if (r < 0) {
                return r;
            }
        } else {
            return WEIR_E_IO;
        }
    }
    return 0;
}

static void keep_head(struct check *c, const char *bytes, size_t n)
{
    size_t room = HEAD_BYTES - c->n_head;
    n = n < room ? n : room;
    memcpy(c->head + c->n_head, bytes, n);
    c->n_head += n;
}

/* One piece from the socket, through TLS, into the head. */
static int receive(struct check *c)
{
    char piece[PIECE_BYTES];
    int r = wait_for(c, POLLIN);
    if (r < 0) {
        return r;
    }
    ssize_t n = recv(c->fd, piece, sizeof(piece), 0);
    if (n <= 0) {
        return n < 0 && errno == EAGAIN ? 0 : WEIR_E_IO;
    }
    if (!c->tls) {
        keep_head(c, piece, (size_t)n);
        return 0;
    }
    r = weir_tls_client_feed(c->tls, piece, (size_t)n);
    while (r >= 0 && (r = weir_tls_client_read(c->tls, piece, sizeof(piece))) > 0) {
        keep_head(c, piece, (size_t)r);
    }
    return r;
}

static bool is_status_known(const struct check *c)
{
    return c->n_head >= sizeof("HTTP/1.1 200") - 1;
}

static int exchange(struct check *c, struct weir_buf *request)
{
    struct weir_buf out;
    weir_buf_init(&out, 64 * 1024);
    int r = 0;
    while (r >= 0 && !is_status_known(c)) {
        if (c->tls) {
            r = weir_tls_client_write(c->tls, request, &out);
            r = r < 0 ? r : send_all(c, &out);
        } else {
            r = send_all(c, request);
        }
        r = r < 0 ? r : receive(c);
    }
    weir_buf_finish(&out);
    if (r < 0) {
        return r;
    }
    return memcmp(c->head, "HTTP/1.", 7) == 0 && c->head[9] == '2' ? 0 : WEIR_E_DEVICE;
}

static int write_request(const struct weir_upstream_settings *s, weir_str path,
                         struct weir_buf *out)
{
    weir_buf_add_text(out, "GET ");
    if (path.n) {
        weir_buf_add_str(out, path);
    } else {
        weir_buf_add_text(out, s->base_path);
        weir_buf_add_text(out, "/models");
    }
    weir_buf_add_text(out, " HTTP/1.1\r\nHost: ");
    weir_buf_add_text(out, s->authority);
    if (s->key) {
        weir_buf_add_text(out, "\r\nAuthorization: Bearer ");
        weir_buf_add_text(out, s->key);
    }
    weir_buf_add_text(out, "\r\nUser-Agent: weir-check\r\nConnection: close\r\n\r\n");
    return out->failed ? WEIR_E_NOMEM : 0;
}

int weir_upstream_check(struct weir_upstream *u, weir_str path, uint32_t timeout_ms)
{
    struct check c = {.fd = -1,
                      .host = u->host,
                      .deadline_us = u->host->now_us(u->host) + (uint64_t)timeout_ms * 1000};
    struct weir_buf request;
    weir_buf_init(&request, MAX_REQUEST_BYTES);
    int r = write_request(&u->settings, path, &request);
    r = r < 0 ? r : connect_any(&c, &u->settings);
    if (r == 0 && u->check_tls) {
        r = weir_tls_client_create(u->check_tls, weir_upstream_tls_name(u), &c.tls);
    }
    r = r < 0 ? r : exchange(&c, &request);
    weir_tls_client_destroy(c.tls);
    if (c.fd >= 0) {
        (void)close(c.fd);
    }
    weir_buf_finish(&request);
    return r;
}
