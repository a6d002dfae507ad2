/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Connected stream sockets on a libuv loop, read and written without libuv's streams.
 *
 * Why: a stream of libuv's is level-triggered, so that each socket that had something is asked
 * again in the loop's next turn; and it reads through two callbacks and read(2). These are
 * members of the loop's poller (poller.h), edge-triggered: a socket costs one event and one
 * recv(2) for what has come. On a loop that shares no poller a set has its own.
 * Life: a set is opened on a loop, and closed when all its sockets are closed. A socket is opened
 * or connected, closed once, and told `closed`, as its last event, out of the loop: its memory must
 * stay until then. A set's memory stays until its own `closed`.
 * Ownership: the caller's memory everywhere; the set owns the descriptors.
 * Threads: the loop's. Errors: negative errno, which is libuv's code too.
 * Invariants: events come from the loop only, never from inside a call to this module; none but
 * `closed` comes after close. A socket that is not read keeps in mind that it could be.
 * Memory: an event finds its socket's owner out of the cache where there are many. The first n_near
 * bytes from a socket on, and what its `wanted` names, are asked for before the kernel is.
 * Bounds: one socket reads WEIR_SOCKETS_READS times the set's buffer in a turn of the loop, then
 * the others have their turn. An open set keeps the loop alive while it has sockets. */
#include <stdbool.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <uv.h>

#include "buf.h"
#include "fetch.h"
#include "poller.h"

enum { WEIR_SOCKETS_READ_BYTES = 64 * 1024, WEIR_SOCKETS_READS = 4 };

struct weir_socket;

struct weir_socket_events {
    /* The bytes are gone after it. */
    void (*input)(struct weir_socket *s, const char *bytes, size_t n);
    /* Nothing more is read: UV_EOF when the peer has closed its side, or why it broke. */
    void (*end)(struct weir_socket *s, int status);
    /* It is connected, or could not be: weir_socket_error() tells. Later: there may be room again
     * after a send that was not taken whole. */
    void (*writable)(struct weir_socket *s);
    void (*closed)(struct weir_socket *s);
};

LIST_HEAD(weir_socket_list, weir_socket);

struct weir_sockets {
    struct weir_poller *poller; /* the loop's, or own */
    struct weir_poller own;
    uv_idle_t spinner;  /* while `again` has members */
    uint32_t n_near;    /* bytes from a socket on that its owner reads with each event */
    uint32_t n_members; /* not yet told `closed` */
    uint32_t n_handles;
    struct weir_socket_list again; /* for the next turn: closed, not read to the end, or due */
    void (*closed)(struct weir_sockets *set);
    char input[WEIR_SOCKETS_READ_BYTES];
};

struct weir_socket {
    struct weir_poller_member member;
    struct weir_sockets *set;
    const struct weir_socket_events *events;
    const void *wanted; /* the owner reads it with each input; NULL: nothing */
    uint32_t n_wanted;
    int fd;    /* -1: closed */
    int error; /* of connect(), where it failed at once */
    bool is_again;
    bool is_reading;
    bool has_unread;  /* or an end; as far as the kernel has told */
    bool has_hung_up; /* the peer has closed its side, or more */
    bool is_waiting;  /* to be writable */
    bool is_due;      /* tried again in the next turn, since the kernel will not tell */
    LIST_ENTRY(weir_socket) again;
};

int weir_sockets_open(struct weir_sockets *set, uv_loop_t *loop, size_t n_near);
/* All its sockets have been closed; each is told before the set. */
void weir_sockets_close(struct weir_sockets *set, void (*closed)(struct weir_sockets *set));

/* A connected socket that does not block; not read yet. On failure nothing was taken over. */
int weir_socket_open(struct weir_socket *s, struct weir_sockets *set, int fd,
                     const struct weir_socket_events *events);
/* A new socket to `address`. `writable` follows, in any case where this returns 0. */
int weir_socket_connect(struct weir_socket *s, struct weir_sockets *set,
                        const struct sockaddr *address, const struct weir_socket_events *events);
/* What became of connecting: 0, or the error. Once. */
int weir_socket_error(struct weir_socket *s);
/* Small pieces leave at once, and a peer that has vanished is noticed after keepalive_s. TCP only;
 * what fails is not needed. */
void weir_socket_tune(int fd, int keepalive_s);

/* Twice is fine. */
void weir_socket_close(struct weir_socket *s);
/* What the kernel holds is thrown away, and the peer of a TCP socket told so. */
void weir_socket_reset(struct weir_socket *s);
void weir_socket_set_reading(struct weir_socket *s, bool on);
/* What input will be for: n bytes that are read with it. Any address, also of memory that is gone.
 */
static inline void weir_socket_want(struct weir_socket *s, const void *memory, size_t n)
{
    s->wanted = memory;
    s->n_wanted = (uint32_t)n;
}
/* How many bytes the kernel has taken; where these are not all, `writable` follows. */
ssize_t weir_socket_send(struct weir_socket *s, const void *bytes, size_t n_bytes);

/* The same of the bytes behind the first *n_gone, which have left before; they stay in the buffer
 * until there are as many as of the others. A large buffer to a slow peer is not moved each time.
 */
ssize_t weir_socket_send_buf(struct weir_socket *s, struct weir_buf *bytes, size_t *n_gone);

/* Some of a send was not taken, and `writable` has not come yet. */
static inline bool weir_socket_is_waiting(const struct weir_socket *s)
{
    return s->is_waiting;
}

/* The peer has closed its side, or the connection is broken; also where it is not read. */
static inline bool weir_socket_has_hung_up(const struct weir_socket *s)
{
    return s->has_hung_up;
}
