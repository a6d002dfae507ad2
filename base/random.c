/* SPDX-License-Identifier: Apache-2.0 */
#include "random.h"

#include <stddef.h>
#include <sys/random.h>

#include "clock.h"

enum { BLOCK = 32 };

uint64_t weir_random_u64(void)
{
    static _Thread_local uint64_t block[BLOCK]; /* 256 bytes come whole or not at all */
    static _Thread_local size_t left;
    if (left == 0) {
        if (getrandom(block, sizeof(block), 0) != (ssize_t)sizeof(block)) {
            return weir_clock_wall_us() * UINT64_C(0x9E3779B97F4A7C15) ^ weir_clock_mono_us();
        }
        left = BLOCK;
    }
    uint64_t number = block[--left];
    block[left] = 0;
    return number;
}
