/* SPDX-License-Identifier: Apache-2.0 */
#include "poller.h"

#include <errno.h>
#include <unistd.h>

#include "fetch.h"

/* The size, and a number that changes with what the fields mean. */
enum { LAYOUT = (int)sizeof(struct weir_poller) << 4 | 1 };

/* ---- events ---- */

static struct weir_poller_member *member_at(const struct weir_poller *p, int at)
{
    return at < p->n_events ? p->events[at].data.ptr : NULL;
}

/* Where there are many, none is in the cache: of the one after the next its first line, which says
 * how much more the next one wants. */
static void fetch_behind(const struct weir_poller *p, int at)
{
    const struct weir_poller_member *next = member_at(p, at + 1), *second = member_at(p, at + 2);
    if (second) {
        weir_fetch(second, 1);
    }
    if (next) {
        weir_fetch(next, next->n_near);
    }
}

static void tell_events(struct weir_poller *p, int timeout_ms)
{
    p->n_events = epoll_wait(p->epoll, p->events, WEIR_POLLER_EVENTS, timeout_ms);
    for (p->at = 0; p->at < p->n_events; p->at++) {
        struct weir_poller_member *m = member_at(p, p->at);
        fetch_behind(p, p->at);
        if (m) {
            m->ready(m, p->events[p->at].events);
        }
    }
    p->n_events = 0;
}

int weir_poller_add(struct weir_poller *p, int fd, uint32_t what, struct weir_poller_member *m)
{
    struct epoll_event e = {.events = what, .data.ptr = m};
    return epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

void weir_poller_remove(struct weir_poller *p, int fd, const struct weir_poller_member *m)
{
    (void)epoll_ctl(p->epoll, EPOLL_CTL_DEL, fd, NULL);
    for (int i = p->at + 1; i < p->n_events; i++) {
        if (p->events[i].data.ptr == m) {
            p->events[i].data.ptr = NULL;
        }
    }
}

/* ---- running ---- */

static void on_poll(uv_poll_t *poll, int status, int what)
{
    (void)status;
    (void)what;
    tell_events(poll->data, 0);
}

static void be_watched(struct weir_poller *p)
{
    p->is_run = false;
    (void)uv_poll_start(&p->poll, UV_READABLE, on_poll); /* cannot fail */
}

/* libuv's instance as a member; NULL: it has nothing to be told. */
static int watch_libuv(struct weir_poller *p)
{
    (void)uv_poll_stop(&p->poll); /* two instances may not watch each other */
    int r = weir_poller_add(p, uv_backend_fd(p->loop), EPOLLIN, NULL);
    p->is_run = r == 0;
    if (r < 0) {
        be_watched(p);
    }
    return r;
}

static bool goes_on(const struct weir_poller *p)
{
    return !p->is_stopped && (p->n_held > 0 || uv_loop_alive(p->loop));
}

static void take_turn(struct weir_poller *p)
{
    if (p->is_run) {
        /* A loop that has nothing to wait for says not to wait, and there is what is held. */
        tell_events(p, uv_loop_alive(p->loop) ? uv_backend_timeout(p->loop) : -1);
    }
    (void)uv_run(p->loop, p->is_run ? UV_RUN_NOWAIT : UV_RUN_ONCE);
}

void weir_poller_run(struct weir_poller *p, void (*turned)(void *user), void *user)
{
    p->is_stopped = false;
    if (p->epoll >= 0) {
        (void)watch_libuv(p); /* without it the loop runs as before, a little slower */
    }
    while (goes_on(p)) {
        take_turn(p);
        turned(user);
    }
    if (p->is_run) {
        (void)epoll_ctl(p->epoll, EPOLL_CTL_DEL, uv_backend_fd(p->loop), NULL);
        be_watched(p);
    }
}

void weir_poller_stop(struct weir_poller *p)
{
    p->is_stopped = true;
}

/* ---- life ---- */

int weir_poller_open(struct weir_poller *p, uv_loop_t *loop)
{
    p->layout = LAYOUT;
    p->loop = loop;
    p->n_held = 0;
    p->is_run = p->is_stopped = false;
    p->at = p->n_events = 0;
    p->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (p->epoll < 0) {
        return -errno;
    }
    int r = uv_poll_init(loop, &p->poll, p->epoll);
    if (r < 0) {
        (void)close(p->epoll);
        p->epoll = -1;
        return r;
    }
    p->poll.data = p;
    be_watched(p);
    uv_unref((uv_handle_t *)&p->poll);
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct weir_poller *p = handle->data;
    (void)close(p->epoll);
    p->epoll = -1;
    if (p->closed) {
        p->closed(p);
    }
}

void weir_poller_close(struct weir_poller *p, void (*closed)(struct weir_poller *p))
{
    p->closed = closed;
    p->is_run = false;
    if (uv_loop_get_data(p->loop) == p) {
        uv_loop_set_data(p->loop, NULL);
    }
    uv_close((uv_handle_t *)&p->poll, on_closed);
}

void weir_poller_share(struct weir_poller *p)
{
    uv_loop_set_data(p->loop, p);
}

struct weir_poller *weir_poller_of(const uv_loop_t *loop)
{
    struct weir_poller *p = uv_loop_get_data(loop);
    return p && p->layout == LAYOUT ? p : NULL;
}

void weir_poller_hold(struct weir_poller *p)
{
    if (p->n_held++ == 0) {
        uv_ref((uv_handle_t *)&p->poll);
    }
}

void weir_poller_release(struct weir_poller *p)
{
    if (--p->n_held == 0) {
        uv_unref((uv_handle_t *)&p->poll);
    }
}
