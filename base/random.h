/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Random numbers of the kernel's generator, a block of them per system call.
 *
 * For names and seeds, which each request needs; secrets have calls of their own.
 * Ownership: a value; zeros are a good beginning. Threads: none. Errors: none; where the kernel
 * gives nothing, time does. */
#include <stddef.h>
#include <stdint.h>

enum { WEIR_RANDOM_BLOCK = 128 };

struct weir_random {
    size_t left; /* not used yet, the first ones of: */
    uint64_t block[WEIR_RANDOM_BLOCK];
};

uint64_t weir_random_u64(struct weir_random *r);
