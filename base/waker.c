/* SPDX-License-Identifier: Apache-2.0 */
#include "waker.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct weir_waker *w = poll->data;
    uint64_t n_wakes;
    (void)status;
    (void)events;
    (void)!read(w->fd, &n_wakes, sizeof(n_wakes));
    w->woken(w);
}

int weir_waker_open(struct weir_waker *w, uv_loop_t *loop, void (*woken)(struct weir_waker *w))
{
    *w = (struct weir_waker){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .woken = woken};
    if (w->fd < 0) {
        return uv_translate_sys_error(errno);
    }
    int r = uv_poll_init(loop, &w->poll, w->fd);
    if (r < 0) {
        (void)close(w->fd);
        return r;
    }
    w->poll.data = w;
    (void)uv_poll_start(&w->poll, UV_READABLE, on_readable); /* fails only for what is closing */
    return 0;
}

void weir_waker_wake(struct weir_waker *w)
{
    uint64_t one = 1;
    (void)!write(w->fd, &one, sizeof(one));
}

static void on_closed(uv_handle_t *handle)
{
    struct weir_waker *w = handle->data;
    if (w->closed) {
        w->closed(w);
    }
}

void weir_waker_close(struct weir_waker *w, void (*closed)(struct weir_waker *w))
{
    w->closed = closed;
    uv_close((uv_handle_t *)&w->poll, on_closed);
    (void)close(w->fd);
}
