/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Drives a weir_plugin_loop from a libuv loop: one waker, one timer.
 *
 * Ownership: the caller keeps the struct until `closed` was called. Threads: all on the uv loop's
 * thread. Errors: WEIR_E_NOMEM, WEIR_E_IO. */
#include <uv.h>

#include "base/waker.h"
#include "core/plugin/loop.h"

struct weir_plugin_loop_uv {
    struct weir_plugin_loop *loop; /* for run_init() and struct weir_plugins_options */
    struct weir_waker waker;
    uv_timer_t timer;
    int n_open; /* handles not closed yet */
    void (*closed)(struct weir_plugin_loop_uv *);
};

int weir_plugin_loop_uv_init(struct weir_plugin_loop_uv *u, uv_loop_t *uv);
/* Stops, closes the handles and then calls closed(u) (NULL ok). Requests that run on this loop have
 * ended; nobody posts any more. */
void weir_plugin_loop_uv_close(struct weir_plugin_loop_uv *u,
                               void (*closed)(struct weir_plugin_loop_uv *));
