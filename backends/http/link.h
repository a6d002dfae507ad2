/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One connection to an upstream: connect, TLS, requests out, responses in.
 *
 * Life: opened by its lane; tells the lane when it is ready, idle or lost; closes itself when it is
 * not usable any more. The memory goes back to the lane when its socket has told `closed`.
 * HTTP/1.1: one job at a time. HTTP/2 (h2.h): as many as the peer allows.
 * Threads: its loop's. Invariant: jobs are told before the lane is.
 * Bounds: what is not written yet is one request (HTTP/1.1). */
#include <sys/socket.h>

#include "base/sockets.h"
#include "base/tls_client.h"
#include "h1.h"
#include "job.h"

struct weir_upstream_h2;

enum weir_upstream_link_state {
    WEIR_LINK_CONNECTING, /* and TLS' handshake */
    WEIR_LINK_OPEN,
    WEIR_LINK_CLOSED
};

struct weir_upstream_link {
    struct weir_socket socket;
    struct weir_upstream_lane *lane;
    struct weir_upstream_job *job; /* HTTP/1.1; NULL: none, or it does not want the rest */
    struct weir_upstream_h2 *h2;   /* NULL: HTTP/1.1 */
    struct weir_tls_client *tls;   /* NULL: none */
    enum weir_upstream_link_state state;
    bool is_busy; /* HTTP/1.1: a response is under way */
    bool is_idle, is_connected, is_unsent, is_last, is_drained;
    struct weir_upstream_h1 h1; /* its beginning, and all above, is read with each event */
    struct weir_upstream_link *next, *prev;               /* of the lane's list */
    struct weir_upstream_link *next_idle, *prev_idle;     /* only while is_idle */
    struct weir_upstream_link *next_unsent, *prev_unsent; /* of the outbox, while is_unsent */
    struct sockaddr_storage address;
    uint64_t opened_ms, idle_ms, opened_us;
    uint32_t n_requests;
    struct weir_buf out;    /* plain bytes to send */
    struct weir_buf cipher; /* TLS: what the socket should get */
    size_t n_gone; /* at the front of the one that the socket gets: it has left, or was room */
};

/* WEIR_E_IO, WEIR_E_NOMEM: no link was made. */
int weir_upstream_link_open(struct weir_upstream_lane *lane, const struct sockaddr *address);
void weir_upstream_link_free(struct weir_upstream_link *link); /* spare memory */
/* Closes without telling of jobs: there are none. */
void weir_upstream_link_close(struct weir_upstream_link *link);

/* Room for one job more? */
bool weir_upstream_link_has_room(const struct weir_upstream_link *link);
/* Sends the job's request, at the end of this turn. A failure is told later, out of the loop. */
void weir_upstream_link_take(struct weir_upstream_link *link, struct weir_upstream_job *job);
/* The job has ended and does not want more of its response, if there is more. */
void weir_upstream_link_leave(struct weir_upstream_link *link, struct weir_upstream_job *job);
void weir_upstream_link_pause(struct weir_upstream_link *link, struct weir_upstream_job *job,
                              bool paused);
/* From the outbox: sends what there is. A failure is told later, out of the loop. */
void weir_upstream_link_send(struct weir_upstream_link *link);
/* Deadlines. */
void weir_upstream_link_tick(struct weir_upstream_link *link, uint64_t now_ms);
/* The peer answers no more; every job on it ends, then the lane is told. */
void weir_upstream_link_fail(struct weir_upstream_link *link,
                             const struct weir_upstream_failure *why);
