/* SPDX-License-Identifier: Apache-2.0 */
#include "sockets.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { HANG_UP = EPOLLRDHUP | EPOLLHUP | EPOLLERR, BROKEN = EPOLLHUP | EPOLLERR };

/* ---- what waits for the next turn ---- */

static void on_spin(uv_idle_t *spinner);

static void call_again(struct weir_socket *s)
{
    struct weir_sockets *set = s->set;
    if (s->is_again) {
        return;
    }
    if (LIST_EMPTY(&set->again)) {
        (void)uv_idle_start(&set->spinner, on_spin);
    }
    s->is_again = true;
    LIST_INSERT_HEAD(&set->again, s, again);
}

static void tell_closed(struct weir_socket *s)
{
    struct weir_sockets *set = s->set;
    set->n_members--;
    weir_poller_release(set->poller);
    s->events->closed(s); /* the memory may be gone */
}

/* ---- input ---- */

/* Not libc's, which makes each call of a process with threads a point of cancellation, with two
 * locked instructions: nobody cancels threads here. Nor read(2) and write(2), which go through the
 * layers of files first. */
static ssize_t receive(int fd, void *to, size_t n_bytes)
{
    ssize_t n;
    do {
        n = syscall(SYS_recvfrom, fd, to, n_bytes, MSG_DONTWAIT, NULL, NULL);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static ssize_t give(int fd, const void *from, size_t n_bytes)
{
    ssize_t n;
    do {
        n = syscall(SYS_sendto, fd, from, n_bytes, MSG_NOSIGNAL | MSG_DONTWAIT, NULL, 0);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static void end_reading(struct weir_socket *s, int status)
{
    s->is_reading = false;
    s->events->end(s, status);
}

/* A read that does not fill the buffer has emptied the socket: what comes later is a new edge, but
 * an end that has been told already is not. */
static void read_input(struct weir_socket *s)
{
    struct weir_sockets *set = s->set;
    weir_fetch(s->wanted, s->n_wanted);
    for (int i = 0; i < WEIR_SOCKETS_READS && s->is_reading && s->has_unread; i++) {
        ssize_t n = receive(s->fd, set->input, sizeof(set->input));
        if (n == -EAGAIN) {
            s->has_unread = false;
        } else if (n <= 0) {
            end_reading(s, n == 0 ? UV_EOF : (int)n);
        } else {
            s->has_unread = n == sizeof(set->input) || s->has_hung_up;
            s->events->input(s, set->input, (size_t)n);
        }
    }
    if (s->is_reading && s->has_unread) {
        call_again(s);
    }
}

/* ---- events ---- */

static void take_event(struct weir_socket *s, uint32_t what)
{
    if (what & (EPOLLIN | HANG_UP)) {
        s->has_unread = true;
        s->has_hung_up |= (what & HANG_UP) != 0;
    }
    if (s->is_waiting && (what & (EPOLLOUT | BROKEN))) {
        s->is_waiting = false;
        s->events->writable(s);
    }
    read_input(s);
}

static void on_ready(struct weir_poller_member *m, uint32_t what)
{
    take_event((struct weir_socket *)m, what);
}

/* What is put off meanwhile waits for the turn after this. */
static void on_spin(uv_idle_t *spinner)
{
    struct weir_sockets *set = spinner->data;
    struct weir_socket_list now = LIST_HEAD_INITIALIZER(now);
    (void)uv_idle_stop(spinner);
    now.lh_first = set->again.lh_first;
    if (now.lh_first) {
        now.lh_first->again.le_prev = &now.lh_first;
    }
    LIST_INIT(&set->again);
    while (!LIST_EMPTY(&now)) {
        struct weir_socket *s = LIST_FIRST(&now);
        LIST_REMOVE(s, again);
        s->is_again = false;
        if (s->fd < 0) {
            tell_closed(s);
            continue;
        }
        bool is_due = s->is_due;
        s->is_due = false;
        take_event(s, is_due ? EPOLLOUT : 0);
    }
}

/* ---- sockets ---- */

int weir_socket_open(struct weir_socket *s, struct weir_sockets *set, int fd,
                     const struct weir_socket_events *events)
{
    /* Edges: asking for all costs nothing. */
    enum { WHAT = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };
    int r = weir_poller_add(set->poller, fd, (uint32_t)WHAT, &s->member);
    if (r < 0) {
        return r;
    }
    *s = (struct weir_socket){
        .member = {on_ready, set->n_near}, .set = set, .events = events, .fd = fd};
    set->n_members++;
    weir_poller_hold(set->poller);
    return 0;
}

int weir_socket_connect(struct weir_socket *s, struct weir_sockets *set,
                        const struct sockaddr *address, const struct weir_socket_events *events)
{
    bool is_ipv4 = address->sa_family == AF_INET;
    socklen_t n = is_ipv4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    int error = 0;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    if (connect(fd, address, n) < 0 && errno != EINPROGRESS) {
        error = -errno;
    }
    int r = weir_socket_open(s, set, fd, events);
    if (r < 0) {
        (void)close(fd);
        return r;
    }
    s->error = error;
    s->is_waiting = true;
    if (error) {
        s->is_due = true;
        call_again(s);
    }
    return 0;
}

int weir_socket_error(struct weir_socket *s)
{
    int error = 0;
    socklen_t n = sizeof(error);
    if (s->error) {
        return s->error;
    }
    return getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0 ? -errno : -error;
}

void weir_socket_tune(int fd, int keepalive_s)
{
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &keepalive_s, sizeof(keepalive_s));
}

void weir_socket_close(struct weir_socket *s)
{
    if (s->fd < 0) {
        return;
    }
    /* Not left to close(): a child process that has yet to exec would keep it in. */
    weir_poller_remove(s->set->poller, s->fd, &s->member);
    (void)close(s->fd);
    s->fd = -1;
    s->is_reading = s->is_waiting = false;
    call_again(s);
}

void weir_socket_reset(struct weir_socket *s)
{
    struct linger now = {.l_onoff = 1};
    if (s->fd >= 0) {
        (void)setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        weir_socket_close(s);
    }
}

void weir_socket_set_reading(struct weir_socket *s, bool on)
{
    if (s->fd < 0) {
        return;
    }
    s->is_reading = on;
    if (on && s->has_unread) {
        call_again(s);
    }
}

ssize_t weir_socket_send(struct weir_socket *s, const void *bytes, size_t n_bytes)
{
    const char *from = bytes;
    size_t n_sent = 0;
    while (n_sent < n_bytes) {
        ssize_t n = give(s->fd, from + n_sent, n_bytes - n_sent);
        if (n >= 0) {
            n_sent += (size_t)n;
            continue;
        }
        if (n != -EAGAIN && n != -ENOBUFS) {
            return n;
        }
        s->is_waiting = true;
        if (n == -ENOBUFS) { /* no memory now: nothing will tell when there is */
            s->is_due = true;
            call_again(s);
        }
        break;
    }
    return (ssize_t)n_sent;
}

ssize_t weir_socket_send_buf(struct weir_socket *s, struct weir_buf *bytes, size_t *n_gone)
{
    ssize_t n_sent = weir_socket_send(s, bytes->data + *n_gone, bytes->len - *n_gone);
    if (n_sent < 0) {
        return n_sent;
    }
    *n_gone += (size_t)n_sent;
    if (*n_gone == bytes->len) {
        weir_buf_reset(bytes);
        *n_gone = 0;
    } else if (*n_gone >= bytes->len - *n_gone) {
        weir_buf_consume(bytes, *n_gone);
        *n_gone = 0;
    }
    return n_sent;
}

/* ---- the set ---- */

int weir_sockets_open(struct weir_sockets *set, uv_loop_t *loop, size_t n_near)
{
    set->n_near = (uint32_t)n_near;
    set->n_members = 0;
    LIST_INIT(&set->again);
    set->poller = weir_poller_of(loop);
    set->n_handles = 1;
    if (!set->poller) {
        int r = weir_poller_open(&set->own, loop);
        if (r < 0) {
            return r;
        }
        set->poller = &set->own;
        set->n_handles = 2;
    }
    (void)uv_idle_init(loop, &set->spinner); /* cannot fail */
    set->spinner.data = set;
    return 0;
}

static void count_closed(struct weir_sockets *set)
{
    if (--set->n_handles > 0) {
        return;
    }
    while (!LIST_EMPTY(&set->again)) {
        struct weir_socket *s = LIST_FIRST(&set->again);
        LIST_REMOVE(s, again);
        s->is_again = false;
        tell_closed(s);
    }
    set->closed(set);
}

static void on_poller_closed(struct weir_poller *p)
{
    count_closed((struct weir_sockets *)((char *)p - offsetof(struct weir_sockets, own)));
}

static void on_spinner_closed(uv_handle_t *handle)
{
    count_closed(handle->data);
}

void weir_sockets_close(struct weir_sockets *set, void (*closed)(struct weir_sockets *set))
{
    set->closed = closed;
    uv_close((uv_handle_t *)&set->spinner, on_spinner_closed);
    if (set->poller == &set->own) {
        weir_poller_close(&set->own, on_poller_closed);
    }
}
