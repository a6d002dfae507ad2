/* SPDX-License-Identifier: Apache-2.0 */
/* A model server that costs next to nothing: what gateways are measured against. It runs in the
 * loop of gateway_load, so that neither waits for the other's share of their core.
 *
 * A GET gets a short JSON object. A POST gets an answer of 1024 bytes, or, when its body has
 * "stream":true, events: "@N/U" anywhere in the body asks for N events, U microseconds apart
 * (100/0). Each event's text begins with the time at which it was sent (wire_now_ns, 19 digits). A
 * request whose text begins with a number (16 hex digits) leaves in wire_mark(number) when it came
 * and when the answer was sent. Each stream's events fall at a phase of its own in the period, so
 * that streams do not beat together. Trusts its clients: a bench, not a server. One thread; ends
 * the process when memory ends. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Listens on a free port of 127.0.0.1, which it returns. Its descriptors are added to `epoll_fd`
 * edge-triggered, with `tag | fd` as their data. */
uint16_t mock_open(int epoll_fd, uint64_t tag);

/* Something came on a descriptor of the mock; `ended`: also its end (EPOLLRDHUP). */
void mock_read(int fd, bool ended);

/* Sends the events that are due; returns when the next one is, UINT64_MAX: no stream runs. */
uint64_t mock_send_due(void);
