/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a loop's thread sleeps in: one epoll instance of sockets that are watched apart from libuv.
 *
 * Why: within libuv's instance such a one makes each event wake two instances and each turn wait
 * twice, three times where a loop has two of them. Run from here it is the other way round: the
 * thread waits in this one, all sockets of the loop are members of it, and libuv's instance, which
 * has little to tell, is a member too.
 * Life: opened on a loop; until it is run, and after, libuv's instance watches it, so that uv_run()
 * alone serves its members as well. Closed when it has none. Its memory stays until `closed`.
 * A turn: members' events, timers, idle and prepare handles, libuv's events. So a prepare handle
 * may be called before the last events of a turn: what those leave for it has to start an idle
 * handle, or the thread sleeps over it.
 * Threads: the loop's. Errors: negative errno.
 * Bounds: WEIR_POLLER_EVENTS in a turn, the others in the next. An open poller keeps the loop alive
 * while something is held. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <uv.h>

enum { WEIR_POLLER_EVENTS = 512 };

struct weir_poller_member {
    void (*ready)(struct weir_poller_member *m, uint32_t what); /* what epoll told */
    uint32_t n_near; /* bytes from here on that `ready` reads: asked for before it is called */
};

struct weir_poller {
    uint32_t layout; /* who finds it through a loop checks that both mean the same struct */
    int epoll;       /* -1: closed */
    uv_loop_t *loop;
    uv_poll_t poll; /* of epoll, while libuv watches it */
    uint32_t n_held;
    bool is_run, is_stopped;
    void (*closed)(struct weir_poller *p);
    int at, n_events; /* of the batch being told */
    struct epoll_event events[WEIR_POLLER_EVENTS];
};

int weir_poller_open(struct weir_poller *p, uv_loop_t *loop);
/* closed may be NULL. */
void weir_poller_close(struct weir_poller *p, void (*closed)(struct weir_poller *p));

/* Others who work on the loop find it: plugins too, whatever copy of this module they have. The
 * loop's `data` is for this. */
void weir_poller_share(struct weir_poller *p);
/* NULL: none is shared, or one of another layout. */
struct weir_poller *weir_poller_of(const uv_loop_t *loop);

/* Until the loop has nothing left, or stop. turned: after each turn, before the thread sleeps. */
void weir_poller_run(struct weir_poller *p, void (*turned)(void *user), void *user);
/* Ends the run behind this turn. */
void weir_poller_stop(struct weir_poller *p);

int weir_poller_add(struct weir_poller *p, int fd, uint32_t what, struct weir_poller_member *m);
/* `ready` is not called any more, not for an event that is known already either. */
void weir_poller_remove(struct weir_poller *p, int fd, const struct weir_poller_member *m);

void weir_poller_hold(struct weir_poller *p);
void weir_poller_release(struct weir_poller *p);
