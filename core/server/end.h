/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The daemon's end: what runs may end, then everything is taken down in order.
 *
 * Bounded as a whole: what does not end in its time is left as it is, and the process ends with 1.
 * Threads: [main]. */
struct weir_server;

/* Takes no more requests and gives those that run the configured time; a second time: none. */
void weir_server_drain(struct weir_server *s);
/* While draining, now and then: ends the main loop's run when nothing runs, or it is too late. */
void weir_server_watch_drain(struct weir_server *s);
/* Takes down what there is, also after a start that stopped half-way. */
void weir_server_finish(struct weir_server *s);
