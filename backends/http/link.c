/* SPDX-License-Identifier: Apache-2.0 */
#include "link.h"

#include <stdio.h>
#include <stdlib.h>

#include "h2.h"
#include "lane.h"
#include "request_text.h"

enum {
    MAX_OUT_BYTES = 64 << 20, /* a request is below a body's limit and what escapes add */
    KEEP_BYTES = 64 * 1024,
    DRAIN_MS = 1000, /* for the rest of a response that nobody waits for */
    KEEPALIVE_S = 60
};

static uint64_t now_ms(const struct weir_upstream_link *link)
{
    return uv_now(link->lane->loop);
}

static struct weir_upstream_link *link_of(struct weir_socket *socket)
{
    return (struct weir_upstream_link *)((char *)socket -
                                         offsetof(struct weir_upstream_link, socket));
}

static void on_closed(struct weir_socket *socket)
{
    struct weir_upstream_link *link = link_of(socket);
    struct weir_upstream_lane *l = link->lane;
    weir_tls_client_destroy(link->tls);
    weir_upstream_h2_destroy(link->h2);
    link->tls = NULL;
    link->h2 = NULL;
    l->n_handles--;
    link->next = l->spare_links;
    l->spare_links = link;
}

void weir_upstream_link_free(struct weir_upstream_link *link)
{
    weir_buf_finish(&link->out);
    weir_buf_finish(&link->cipher);
    free(link);
}

/* Out of the lane's view, and closing. */
static void close_handle(struct weir_upstream_link *link)
{
    link->state = WEIR_LINK_CLOSED;
    weir_upstream_outbox_drop(&link->lane->outbox, link);
    weir_socket_close(&link->socket);
    weir_upstream_count_open(&link->lane->upstream->figures, -1);
}

void weir_upstream_link_close(struct weir_upstream_link *link)
{
    if (link->state != WEIR_LINK_CLOSED) {
        bool was_open = link->state == WEIR_LINK_OPEN;
        close_handle(link);
        weir_upstream_lane_lost(link->lane, link, was_open, NULL, NULL);
    }
}

void weir_upstream_link_fail(struct weir_upstream_link *link,
                             const struct weir_upstream_failure *why)
{
    if (link->state == WEIR_LINK_CLOSED) {
        return;
    }
    bool was_open = link->state == WEIR_LINK_OPEN;
    struct weir_upstream_job *job = link->job;
    link->job = NULL;
    close_handle(link);
    if (link->h2) {
        weir_upstream_h2_fail(link->h2, why);
    }
    weir_upstream_lane_lost(link->lane, link, was_open, job, why);
}

static void fail_status(struct weir_upstream_link *link, int status)
{
    struct weir_upstream_failure why;
    char text[200];
    bool was_open = link->state == WEIR_LINK_OPEN;
    if (link->tls && status == UV_EPROTO) {
        weir_tls_client_why(link->tls, text, sizeof(text));
    } else {
        (void)snprintf(text, sizeof(text), "%s",
                       status == UV_EOF ? "it closed the connection" : uv_strerror(status));
    }
    weir_upstream_fail_link(&why, was_open,
                            was_open    ? "reset"
                            : link->tls ? "tls"
                                        : "connect",
                            was_open ? "The connection to the model's server was lost: %s."
                                     : "The model's server cannot be reached: %s.",
                            text);
    weir_upstream_link_fail(link, &why);
}

static void fail_protocol(struct weir_upstream_link *link, const char *what)
{
    struct weir_upstream_failure why;
    weir_upstream_fail_protocol(&why, "The model's server sent %s.", what);
    weir_upstream_link_fail(link, &why);
}

/* ---- output ---- */

/* Writes what the socket takes at once; the rest waits for it. */
static int send_bytes(struct weir_upstream_link *link, struct weir_buf *bytes)
{
    if (weir_socket_is_waiting(&link->socket) || bytes->len == 0) {
        return 0;
    }
    ssize_t n_sent = weir_socket_send_buf(&link->socket, bytes, &link->n_gone);
    if (bytes->len == 0 && bytes->cap > KEEP_BYTES) {
        weir_buf_finish(bytes);
    }
    return n_sent < 0 ? (int)n_sent : 0;
}

static int flush(struct weir_upstream_link *link)
{
    if (link->out.failed || link->cipher.failed) {
        return UV_ENOBUFS;
    }
    if (!link->tls) {
        return send_bytes(link, &link->out);
    }
    if (weir_tls_client_write(link->tls, &link->out, &link->cipher) < 0) {
        return UV_EPROTO;
    }
    return send_bytes(link, &link->cipher);
}

static void on_room(struct weir_upstream_link *link)
{
    int r = 0;
    if (link->h2) {
        r = weir_upstream_h2_fill(link->h2, &link->out) < 0 ? UV_ENOBUFS : 0;
    }
    r = r < 0 ? r : flush(link);
    if (r < 0) {
        fail_status(link, r);
    }
}

/* A failure shows as the connection's end. */
void weir_upstream_link_send(struct weir_upstream_link *link)
{
    int r = 0;
    if (link->h2 && !weir_socket_is_waiting(&link->socket)) {
        r = weir_upstream_h2_fill(link->h2, &link->out);
    }
    if (link->state == WEIR_LINK_CLOSED) {
        return;
    }
    r = r < 0 ? r : flush(link);
    if (r < 0) {
        (void)shutdown(link->socket.fd, SHUT_RDWR);
    }
}

/* What HTTP/2 has to say, or a request, leaves with this turn of the loop. */
static void push_out(struct weir_upstream_link *link)
{
    if (link->state != WEIR_LINK_CLOSED) {
        weir_upstream_outbox_add(&link->lane->outbox, link);
    }
}

/* ---- requests ---- */

bool weir_upstream_link_has_room(const struct weir_upstream_link *link)
{
    if (link->state != WEIR_LINK_OPEN || link->is_last) {
        return false;
    }
    return link->h2 ? weir_upstream_h2_has_room(link->h2) : !link->is_busy;
}

static void on_head(void *arg, const struct weir_upstream_head *head)
{
    struct weir_upstream_link *link = arg;
    if (link->job) {
        weir_upstream_job_head(link->job, head);
    }
}

static void on_body(void *arg, const char *bytes, size_t n)
{
    struct weir_upstream_link *link = arg;
    if (link->job) {
        weir_upstream_job_body(link->job, bytes, n);
    }
}

static const struct weir_upstream_h1_events h1_events = {on_head, on_body};

/* Where the socket gets the bytes as they are, and no others are left, without a copy. */
static void write_request(struct weir_upstream_link *link, const struct weir_upstream_job *job)
{
    struct weir_upstream_lane *l = link->lane;
    bool is_direct = !link->tls && link->out.len == 0;
    struct weir_buf *to = is_direct ? &link->out : &l->request_body;
    size_t n_before;
    weir_upstream_write_request(to, &l->upstream->settings, job->g, job->max_tokens, &n_before);
    if (is_direct) {
        link->n_gone = n_before;
    } else if (!to->failed) {
        weir_buf_add(&link->out, to->data + n_before, to->len - n_before);
    }
}

void weir_upstream_link_take(struct weir_upstream_link *link, struct weir_upstream_job *job)
{
    struct weir_upstream_lane *l = link->lane;
    const struct weir_upstream_settings *s = &l->upstream->settings;
    job->link = link;
    link->n_requests++;
    weir_buf_reset(&l->request_body);
    weir_upstream_job_sent(job);
    if (link->h2) {
        weir_upstream_write_body(&l->request_body, s, job->g, job->max_tokens);
        weir_upstream_h2_take(link->h2, job, weir_buf_view(&l->request_body));
    } else {
        link->job = job;
        link->is_busy = true;
        weir_socket_want(&link->socket, job, WEIR_UPSTREAM_JOB_NEAR);
        weir_upstream_h1_begin(&link->h1, &h1_events, link);
        write_request(link, job);
    }
    if (l->request_body.failed) {
        link->out.failed = true;
    }
    if (l->request_body.cap > KEEP_BYTES) {
        weir_buf_finish(&l->request_body);
    }
    push_out(link);
}

void weir_upstream_link_leave(struct weir_upstream_link *link, struct weir_upstream_job *job)
{
    job->link = NULL;
    if (link->h2) {
        weir_upstream_h2_leave(link->h2, job);
        push_out(link);
        return;
    }
    if (link->job != job) {
        return;
    }
    link->job = NULL;
    if (job->failure.rc == 0) { /* the stream has said that it is whole: its end is near */
        link->is_drained = true;
        link->idle_ms = now_ms(link);
        if (!link->socket.is_reading) {
            weir_upstream_link_pause(link, job, false);
        }
    } else {
        weir_upstream_link_close(link);
    }
}

static void finish_response(struct weir_upstream_link *link)
{
    struct weir_upstream_job *job = link->job;
    link->job = NULL;
    link->is_busy = link->is_drained = false;
    link->is_last |= !link->h1.keeps_alive;
    if (job) {
        job->link = NULL;
    }
    if (!link->socket.is_reading && !link->is_last) {
        weir_upstream_link_pause(link, NULL, false);
    }
    if (link->is_last) {
        weir_upstream_link_close(link);
    } else {
        weir_upstream_lane_idle(link->lane, link);
    }
    if (job) {
        weir_upstream_job_end(job);
    }
}

/* ---- input ---- */

static void take_plain(struct weir_upstream_link *link, const char *bytes, size_t n)
{
    if (link->h2) {
        if (weir_upstream_h2_feed(link->h2, bytes, n) < 0) {
            fail_protocol(link, weir_upstream_h2_problem(link->h2));
        }
        push_out(link);
        return;
    }
    if (!link->is_busy) { /* nobody asked for anything */
        weir_upstream_link_close(link);
        return;
    }
    int r = weir_upstream_h1_feed(&link->h1, bytes, n);
    if (link->state == WEIR_LINK_CLOSED) {
        return; /* a job that left has closed it */
    }
    if (r < 0) {
        fail_protocol(link, link->h1.problem);
    } else if (link->h1.is_done) {
        finish_response(link);
    } else if (link->job) {
        weir_upstream_job_keep(link->job);
    }
}

static void become_open(struct weir_upstream_link *link);
static void take_end(struct weir_upstream_link *link, int status);

static void take_cipher(struct weir_upstream_link *link, const char *bytes, size_t n)
{
    char plain[16 * 1024];
    int rc = weir_tls_client_feed(link->tls, bytes, n);
    while (rc >= 0 && link->state != WEIR_LINK_CLOSED) {
        rc = weir_tls_client_read(link->tls, plain, sizeof(plain));
        if (link->state == WEIR_LINK_CONNECTING && weir_tls_client_is_ready(link->tls)) {
            become_open(link);
        }
        if (rc <= 0) {
            break;
        }
        if (link->state != WEIR_LINK_CLOSED) {
            take_plain(link, plain, (size_t)rc);
        }
    }
    if (link->state == WEIR_LINK_CLOSED) {
        return;
    }
    if (rc == WEIR_E_GONE) {
        take_end(link, UV_EOF);
        return;
    }
    int status = rc < 0 ? UV_EPROTO : flush(link); /* the handshake's next message */
    if (status < 0) {
        fail_status(link, status);
    }
}

static void take_end(struct weir_upstream_link *link, int status)
{
    if (link->is_busy && link->job && status == UV_EOF && link->h1.has_begun) {
        if (weir_upstream_h1_eof(&link->h1) == 0) {
            finish_response(link);
            return;
        }
        struct weir_upstream_failure why;
        weir_upstream_fail_link(&why, true, "truncated",
                                "The model's server closed the connection before its answer was "
                                "whole.");
        (void)snprintf(why.code, sizeof(why.code), "upstream_truncated");
        weir_upstream_link_fail(link, &why);
    } else if (link->state == WEIR_LINK_OPEN && !link->job && !link->h2) {
        weir_upstream_link_close(link);
    } else {
        fail_status(link, status);
    }
}

static void on_end(struct weir_socket *socket, int status)
{
    take_end(link_of(socket), status);
}

static void on_input(struct weir_socket *socket, const char *bytes, size_t n)
{
    struct weir_upstream_link *link = link_of(socket);
    if (link->tls) {
        take_cipher(link, bytes, n);
    } else {
        take_plain(link, bytes, n);
    }
}

void weir_upstream_link_pause(struct weir_upstream_link *link, struct weir_upstream_job *job,
                              bool paused)
{
    if (link->state == WEIR_LINK_CLOSED) {
        return;
    }
    if (link->h2) {
        if (job) {
            weir_upstream_h2_pause(link->h2, job, paused);
            push_out(link);
        }
        return;
    }
    weir_socket_set_reading(&link->socket, !paused);
}

/* ---- opening ---- */

static void become_open(struct weir_upstream_link *link)
{
    struct weir_upstream *u = link->lane->upstream;
    bool is_h2 =
        link->tls ? weir_tls_client_speaks(link->tls, "h2") : u->settings.http2 == WEIR_HTTP2_ON;
    if (is_h2 && weir_upstream_h2_create(link, &link->h2) < 0) {
        fail_status(link, UV_ENOMEM); /* not open yet: who waits for it is told */
        return;
    }
    link->state = WEIR_LINK_OPEN;
    weir_upstream_count_connect(&u->figures, u->host->now_us(u->host) - link->opened_us);
    weir_upstream_lane_ready(link->lane, link);
    push_out(link);
}

static void on_connected(struct weir_upstream_link *link)
{
    int status = weir_socket_error(&link->socket);
    if (status == 0) {
        link->is_connected = true;
        weir_socket_set_reading(&link->socket, true);
        status = link->tls ? flush(link) : 0;
    }
    if (status < 0) {
        fail_status(link, status);
    } else if (!link->tls) {
        become_open(link);
    }
}

static void on_writable(struct weir_socket *socket)
{
    struct weir_upstream_link *link = link_of(socket);
    if (link->is_connected) {
        on_room(link);
    } else {
        on_connected(link);
    }
}

static struct weir_upstream_link *take_memory(struct weir_upstream_lane *l)
{
    struct weir_upstream_link *link = l->spare_links;
    if (link) {
        l->spare_links = link->next;
        struct weir_buf out = link->out, cipher = link->cipher;
        weir_buf_reset(&out);
        weir_buf_reset(&cipher);
        *link = (struct weir_upstream_link){.out = out, .cipher = cipher};
    } else {
        link = calloc(1, sizeof(*link));
        if (!link) {
            return NULL;
        }
        weir_buf_init(&link->out, MAX_OUT_BYTES);
        weir_buf_init(&link->cipher, MAX_OUT_BYTES);
    }
    link->lane = l;
    return link;
}

int weir_upstream_link_open(struct weir_upstream_lane *l, const struct sockaddr *address)
{
    static const struct weir_socket_events events = {
        .input = on_input,
        .end = on_end,
        .writable = on_writable,
        .closed = on_closed,
    };
    struct weir_upstream *u = l->upstream;
    struct weir_upstream_link *link = take_memory(l);
    if (!link) {
        return WEIR_E_NOMEM;
    }
    if (u->tls && weir_tls_client_create(u->tls, weir_upstream_tls_name(u), &link->tls) < 0) {
        weir_upstream_link_free(link);
        return WEIR_E_NOMEM;
    }
    if (weir_socket_connect(&link->socket, &l->sockets, address, &events) < 0) {
        weir_tls_client_destroy(link->tls);
        weir_upstream_link_free(link);
        return WEIR_E_IO;
    }
    weir_socket_tune(link->socket.fd, KEEPALIVE_S);
    l->n_handles++;
    link->opened_ms = now_ms(link);
    link->opened_us = u->host->now_us(u->host);
    memcpy(&link->address, address,
           address->sa_family == AF_INET ? sizeof(struct sockaddr_in)
                                         : sizeof(struct sockaddr_in6));
    weir_upstream_count_open(&u->figures, 1);
    link->next = l->links;
    if (link->next) {
        link->next->prev = link;
    }
    l->links = link;
    l->n_links++;
    l->n_opening++;
    return 0;
}

void weir_upstream_link_tick(struct weir_upstream_link *link, uint64_t now)
{
    const struct weir_upstream_settings *s = &link->lane->upstream->settings;
    if (link->state == WEIR_LINK_CONNECTING && now - link->opened_ms > s->connect_ms) {
        struct weir_upstream_failure why;
        weir_upstream_fail_timeout(&why, false, "could not be reached", s->connect_ms);
        weir_upstream_link_fail(link, &why);
    } else if (link->is_drained && now - link->idle_ms > DRAIN_MS) {
        weir_upstream_link_close(link);
    } else if (link->is_idle && (now - link->idle_ms > s->idle_ms ||
                                 !weir_upstream_names_have(&link->lane->names, &link->address))) {
        weir_upstream_link_close(link);
    }
}
