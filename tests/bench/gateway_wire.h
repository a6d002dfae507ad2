/* SPDX-License-Identifier: Apache-2.0 */
/* What the load (gateway_load.c) and the model server (gateway_mock.c) of the gateway bench share:
 * a clock, reading with the kernel's time of arrival, and the length of an HTTP message.
 *
 * Why the kernel's time: both run in one process on one core, so when they get to read says more
 * about them than about the gateway. The kernel stamps each TCP segment as it comes to the
 * machine's network (SO_TIMESTAMPING, RX_SOFTWARE); on the loopback device that is inside the
 * sender's own send(), before the reader is woken. All times are CLOCK_REALTIME in nanoseconds, the
 * clock of those stamps; a run in which somebody sets the clock is void. One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

static inline uint64_t wire_now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* No delay, and stamps on what arrives. False: the kernel gives no stamps. */
bool wire_prepare(int fd);

/* recv() without waiting. `ret_arrived_ns`: when the last of the bytes read came; 0: no stamp. */
ssize_t wire_recv(int fd, void *p, size_t cap, uint64_t *ret_arrived_ns);

/* Bytes of the HTTP message at `p` by its content-length (none: no body); 0: its head is not whole.
 */
size_t wire_message_bytes(const char *p, size_t n, size_t *ret_head_bytes);

/* Where a request came to the model server and when that answered, by the request's number. */
struct wire_mark {
    uint64_t number, arrived_ns, answered_ns;
};
struct wire_mark *wire_mark(uint64_t number);

/* The 16 hex digits of a request's number, at the beginning of its text. */
void wire_number_write(char *p, uint64_t number);
bool wire_number_read(const char *p, uint64_t *ret_number);
