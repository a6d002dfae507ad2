/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded by test_clock.py: the wall clock of a process, shifted by the seconds that the file
 * named in SHIFT_CLOCK holds as an int64; monotonic time goes on. It allocates nothing and asks the
 * kernel directly, so that an allocator may ask it for the time before anything else is there. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *shift; /* NULL: not yet */

__attribute__((constructor)) static void map_shift(void)
{
    const char *file = getenv("SHIFT_CLOCK");
    int fd = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
    void *p = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*shift), PROT_READ, MAP_SHARED, fd, 0);
    if (fd >= 0) {
        (void)close(fd);
    }
    shift = p == MAP_FAILED ? NULL : p;
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *t)
{
    int r = (int)syscall(SYS_clock_gettime, clock, t);
    if (r == 0 && shift && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        t->tv_sec += *shift;
    }
    return r;
}

__attribute__((visibility("default"))) int gettimeofday(struct timeval *restrict t,
                                                        void *restrict zone)
{
    struct timespec now;
    (void)zone;
    int r = clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return r;
}

__attribute__((visibility("default"))) time_t time(time_t *t)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (t) {
        *t = now.tv_sec;
    }
    return now.tv_sec;
}
