/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway_wire.h"

#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

enum { N_MARKS = 65536 }; /* more than requests are ever under way */

bool wire_prepare(int fd)
{
    int one = 1, stamps = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &stamps, sizeof(stamps)) == 0;
}

ssize_t wire_recv(int fd, void *p, size_t cap, uint64_t *ret_arrived_ns)
{
    union {
        char bytes[CMSG_SPACE(sizeof(struct scm_timestamping))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {p, cap};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    *ret_arrived_ns = 0;
    ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT);
    struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPING) {
        struct scm_timestamping stamps;
        memcpy(&stamps, CMSG_DATA(c), sizeof(stamps));
        *ret_arrived_ns =
            (uint64_t)stamps.ts[0].tv_sec * 1000000000u + (uint64_t)stamps.ts[0].tv_nsec;
    }
    return n;
}

size_t wire_message_bytes(const char *p, size_t n, size_t *ret_head_bytes)
{
    static const char name[] = "content-length:";
    const char *end = memmem(p, n, "\r\n\r\n", 4);
    if (!end) {
        return 0;
    }
    *ret_head_bytes = (size_t)(end + 4 - p);
    for (const char *line = p; line < end; line++) {
        line = memchr(line, '\n', (size_t)(end + 4 - line));
        if (line < end && (size_t)(end - line) > sizeof(name) &&
            strncasecmp(line + 1, name, sizeof(name) - 1) == 0) {
            return *ret_head_bytes + strtoul(line + sizeof(name), NULL, 10); /* ends at "\r" */
        }
    }
    return *ret_head_bytes;
}

struct wire_mark *wire_mark(uint64_t number)
{
    static struct wire_mark marks[N_MARKS];
    return &marks[number % N_MARKS];
}

void wire_number_write(char *p, uint64_t number)
{
    for (int i = 15; i >= 0; i--, number >>= 4) {
        p[i] = "0123456789abcdef"[number & 15];
    }
}

bool wire_number_read(const char *p, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (int i = 0; i < 16; i++) {
        int digit = p[i] >= '0' && p[i] <= '9'   ? p[i] - '0'
                    : p[i] >= 'a' && p[i] <= 'f' ? p[i] - 'a' + 10
                                                 : -1;
        if (digit < 0) {
            return false;
        }
        number = number << 4 | (uint64_t)digit;
    }
    *ret_number = number;
    return true;
}
