/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/loop_uv.h"

#include <stddef.h>

static void wake(void *arg)
{
    struct weir_plugin_loop_uv *u = arg;
    weir_waker_wake(&u->waker);
}

static void turn(struct weir_plugin_loop_uv *u);

static void on_timer(uv_timer_t *timer)
{
    turn(timer->data);
}

static void turn(struct weir_plugin_loop_uv *u)
{
    weir_plugin_loop_turn(u->loop);
    uint64_t next_us = weir_plugin_loop_next_us(u->loop);
    if (next_us == UINT64_MAX) {
        (void)uv_timer_stop(&u->timer);
        return;
    }
    /* Round up: a timer that fires early would only turn once more. */
    uv_update_time(u->timer.loop);
    (void)uv_timer_start(&u->timer, on_timer, (next_us + 999) / 1000, 0);
}

static struct weir_plugin_loop_uv *loop_of(struct weir_waker *w)
{
    return (struct weir_plugin_loop_uv *)((char *)w - offsetof(struct weir_plugin_loop_uv, waker));
}

static void on_woken(struct weir_waker *w)
{
    turn(loop_of(w));
}

int weir_plugin_loop_uv_init(struct weir_plugin_loop_uv *u, uv_loop_t *uv)
{
    *u = (struct weir_plugin_loop_uv){0};
    int rc = weir_plugin_loop_create(weir_plugin_clock_system, wake, u, &u->loop);
    if (rc < 0) {
        return rc;
    }
    if (weir_waker_open(&u->waker, uv, on_woken) < 0) {
        weir_plugin_loop_destroy(u->loop);
        return WEIR_E_IO;
    }
    (void)uv_timer_init(uv, &u->timer); /* cannot fail: it only fills the struct */
    u->timer.data = u;
    u->n_open = 2;
    return 0;
}

static void count_closed(struct weir_plugin_loop_uv *u)
{
    if (--u->n_open > 0) {
        return;
    }
    weir_plugin_loop_destroy(u->loop);
    u->loop = NULL;
    if (u->closed) {
        u->closed(u);
    }
}

static void on_waker_closed(struct weir_waker *w)
{
    count_closed(loop_of(w));
}

static void on_timer_closed(uv_handle_t *timer)
{
    count_closed(timer->data);
}

void weir_plugin_loop_uv_close(struct weir_plugin_loop_uv *u,
                               void (*closed)(struct weir_plugin_loop_uv *))
{
    u->closed = closed;
    weir_waker_close(&u->waker, on_waker_closed);
    uv_close((uv_handle_t *)&u->timer, on_timer_closed);
}
