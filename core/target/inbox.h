/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A worker's inbox: the one door through which other threads reach its loop.
 *
 * Why: engines and queues run elsewhere; a request belongs to one loop. An item is embedded in what
 * it wakes, so posting allocates nothing and cannot fail; posting an item that is still queued is a
 * no-op, so the inbox is bounded by the number of objects alive.
 * Ownership: the poster keeps an item alive until its `run` was called or it was withdrawn.
 * Threads: post [any-thread]; run is called on [loop-thread]. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/waker.h"

struct weir_inbox_item {
    struct weir_inbox_item *next, *prev; /* guarded by the inbox's mutex */
    atomic_bool queued;                  /* written under it */
    void (*run)(struct weir_inbox_item *item);
};

struct weir_inbox {
    pthread_mutex_t mutex; /* guards the list, its count, and the items' links and `queued` */
    struct weir_inbox_item *first, *last;
    uint32_t n_queued;
    atomic_bool dirty; /* something was posted since the last wake */
    struct weir_waker waker;
    uv_loop_t *loop;
};

int weir_inbox_init(struct weir_inbox *in, uv_loop_t *loop);
/* [loop-thread] after everything that posts has ended; the loop must run once more. */
void weir_inbox_finish(struct weir_inbox *in);
/* Queues without waking; wake() makes it seen. Groups of posts cost one wake-up. */
void weir_inbox_post(struct weir_inbox *in, struct weir_inbox_item *item);
void weir_inbox_wake(struct weir_inbox *in);
/* [loop-thread] `run` will not be called any more; no-op for an item that is not queued. Needed
 * before an item's memory goes: the end of a generation can be read in the turn that an earlier
 * post caused, while the end's own post still waits. Nobody may post the item meanwhile. */
void weir_inbox_withdraw(struct weir_inbox *in, struct weir_inbox_item *item);
