/* SPDX-License-Identifier: Apache-2.0 */
#include "random.h"

#include <errno.h>
#include <stddef.h>
#include <sys/random.h>

#include "clock.h"

enum { BLOCK = 128 };

uint64_t weir_random_u64(void)
{
    static _Thread_local uint64_t block[BLOCK];
    static _Thread_local size_t left;
    if (left == 0) {
        ssize_t n;
        do { /* a signal may cut it short */
            n = getrandom(block, sizeof(block), 0);
        } while (n < 0 && errno == EINTR);
        if (n < (ssize_t)sizeof(block[0])) {
            return weir_clock_wall_us() * UINT64_C(0x9E3779B97F4A7C15) ^ weir_clock_mono_us();
        }
        left = (size_t)n / sizeof(block[0]);
    }
    uint64_t number = block[--left];
    block[left] = 0;
    return number;
}
