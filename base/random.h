/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Random numbers of the kernel's generator, a block of them per system call.
 *
 * For names and seeds, which each request needs; secrets have calls of their own.
 * Threads: any; each has its own block. Errors: none; where the kernel gives nothing, time does. */
#include <stdint.h>

uint64_t weir_random_u64(void);
