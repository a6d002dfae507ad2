/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The addresses of a target's host, looked up without blocking and again now and then.
 *
 * How: libuv asks the system's resolver on its pool of threads. Known addresses go on being used
 * while a look-up is under way, and when one fails; connections to addresses that are gone are
 * closed when they are idle. Connections take the addresses in turn.
 * Threads: the loop's. Bounds: 16 addresses. */
#include <stdbool.h>
#include <sys/socket.h>
#include <uv.h>

enum { WEIR_UPSTREAM_MAX_ADDRESSES = 16 };

struct weir_upstream_lane;

struct weir_upstream_names {
    struct sockaddr_storage list[WEIR_UPSTREAM_MAX_ADDRESSES];
    uint32_t n, next;
    uint64_t asked_ms; /* when the last look-up began */
    bool is_asking;
    uv_getaddrinfo_t request;
};

/* The next address to try, or NULL: there is none yet, and lane_named() will be called. Begins a
 * look-up when it is time. */
const struct sockaddr *weir_upstream_names_take(struct weir_upstream_lane *l);
bool weir_upstream_names_have(const struct weir_upstream_names *names,
                              const struct sockaddr_storage *address);
