/* SPDX-License-Identifier: Apache-2.0 */
#include "send.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

ssize_t weir_send(int fd, const void *bytes, size_t n_bytes)
{
    ssize_t n;
    do {
        n = syscall(SYS_sendto, fd, bytes, n_bytes, MSG_NOSIGNAL | MSG_DONTWAIT, NULL, 0);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) {
        return n;
    }
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? 0 : -errno;
}
