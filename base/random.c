/* SPDX-License-Identifier: Apache-2.0 */
#include "random.h"

#include <errno.h>
#include <sys/random.h>

#include "clock.h"

uint64_t weir_random_u64(struct weir_random *r)
{
    if (r->left == 0) {
        ssize_t n;
        do { /* a signal may cut it short */
            n = getrandom(r->block, sizeof(r->block), 0);
        } while (n < 0 && errno == EINTR);
        if (n < (ssize_t)sizeof(r->block[0])) {
            return weir_clock_wall_us() * UINT64_C(0x9E3779B97F4A7C15) ^ weir_clock_mono_us();
        }
        r->left = (size_t)n / sizeof(r->block[0]);
    }
    uint64_t number = r->block[--r->left];
    r->block[r->left] = 0;
    return number;
}
