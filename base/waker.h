/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Wakes a libuv loop from any thread.
 *
 * Why: libuv's own async handle makes a loop that wakes while the sender is still in its system
 * call spin, and yield its CPU, until that has returned; beside compute threads a yield lasts a
 * whole time slice. This is an eventfd that the loop watches: wakes before the loop's turn are one.
 * Life: open, close, `closed` out of the loop: the memory must stay until then. Nobody wakes after
 * close. Threads: wake [any]; the rest, and `woken`, the loop's. Errors: libuv's codes. */
#include <uv.h>

struct weir_waker {
    uv_poll_t poll;
    int fd;
    void (*woken)(struct weir_waker *w);
    void (*closed)(struct weir_waker *w); /* NULL: nobody waits for it */
};

int weir_waker_open(struct weir_waker *w, uv_loop_t *loop, void (*woken)(struct weir_waker *w));
void weir_waker_wake(struct weir_waker *w);
void weir_waker_close(struct weir_waker *w, void (*closed)(struct weir_waker *w));
