/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A server of the tests for upstreams: HTTP/1.1 and HTTP/2, plain or TLS, good answers only.
 *
 * Why: it must need none of the memory that fails: what it allocates is its libraries' own. The
 * kind of an answer is told from the body, whether it streams from `accept`. Threads: one of its
 * own, and one for each connection, which ends with it. */
#include <stdbool.h>
#include <stdint.h>

struct upstream_server;

struct upstream_server *upstream_server_start(bool tls);
uint16_t upstream_server_port(const struct upstream_server *s);
void upstream_server_end(struct upstream_server *s);
