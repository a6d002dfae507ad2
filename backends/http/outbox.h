/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The links of a lane that have something to send, until the end of this turn of the loop.
 *
 * Why: a server that sleeps is woken by the first request that it gets, which costs the sender more
 * than the rest of sending. Requests that one turn of the loop made leave one behind the other, so
 * that the server wakes once for all of them; and whatever HTTP/2 has to say on one link goes in
 * one system call. Life: opened once, then closed by the lane's end. Ownership: the links are the
 * lane's. Threads: the loop's. Bounds: a link is in once. */
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct weir_upstream_link;

struct weir_upstream_outbox {
    uv_prepare_t flusher; /* behind the turn's events, before the loop sleeps */
    uv_idle_t spinner;    /* while there are links: what comes behind the flush does not wait */
    struct weir_upstream_link *first;
    uint32_t n;
};

/* Neither can fail. `closed` is called for each of the two handles; their data is `data`. */
void weir_upstream_outbox_open(struct weir_upstream_outbox *o, uv_loop_t *loop, void *data);
void weir_upstream_outbox_close(struct weir_upstream_outbox *o, uv_close_cb closed);

/* The link has, or may have, something to send. */
void weir_upstream_outbox_add(struct weir_upstream_outbox *o, struct weir_upstream_link *link);
/* It closes; nothing happens when it is not in. */
void weir_upstream_outbox_drop(struct weir_upstream_outbox *o, struct weir_upstream_link *link);
