/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Writes to a socket that does not block, as cheaply as the kernel allows.
 *
 * Why: write(2) goes through the layers of files first, which costs a tenth of sending 1 KB, and
 * libc makes every write of a process with threads a cancellation point, with two locked
 * instructions. Nobody cancels threads here.
 * Threads: any; none else may write to the socket meanwhile. Errors: -errno, which is libuv's code
 * too. A peer that is gone raises no SIGPIPE. */
#include <stddef.h>
#include <sys/types.h>

/* How many bytes the kernel has taken; 0: it takes none now. */
ssize_t weir_send(int fd, const void *bytes, size_t n_bytes);
