/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/loop_uv.h"

static void wake(void *arg)
{
    struct weir_plugin_loop_uv *u = arg;
    (void)uv_async_send(&u->async);
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

static void on_async(uv_async_t *async)
{
    turn(async->data);
}

int weir_plugin_loop_uv_init(struct weir_plugin_loop_uv *u, uv_loop_t *uv)
{
    *u = (struct weir_plugin_loop_uv){0};
    int rc = weir_plugin_loop_create(weir_plugin_clock_system, wake, u, &u->loop);
    if (rc < 0) {
        return rc;
    }
    if (uv_async_init(uv, &u->async, on_async) != 0) {
        weir_plugin_loop_destroy(u->loop);
        return WEIR_E_IO;
    }
    (void)uv_timer_init(uv, &u->timer); /* cannot fail: it only fills the struct */
    u->async.data = u;
    u->timer.data = u;
    u->n_open = 2;
    return 0;
}

static void on_close(uv_handle_t *handle)
{
    struct weir_plugin_loop_uv *u = handle->data;
    if (--u->n_open > 0) {
        return;
    }
    weir_plugin_loop_destroy(u->loop);
    u->loop = NULL;
    if (u->closed) {
        u->closed(u);
    }
}

void weir_plugin_loop_uv_close(struct weir_plugin_loop_uv *u,
                               void (*closed)(struct weir_plugin_loop_uv *))
{
    u->closed = closed;
    uv_close((uv_handle_t *)&u->async, on_close);
    uv_close((uv_handle_t *)&u->timer, on_close);
}
