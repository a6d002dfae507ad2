/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Philox4x32-10, a counter-based random generator: Salmon, Moraes, Dror, Shaw, "Parallel random
 * numbers: as easy as 1, 2, 3", SC 2011.
 *
 * Why: a draw must depend on (seed, index) alone, not on what was drawn before or beside it.
 * Threads: any; pure functions. */
#include <stdint.h>

/* Encrypts the 128-bit counter under the 64-bit key. */
void weir_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* Uniform in [0, 1), 53 random bits. */
double weir_philox_uniform(uint64_t seed, uint64_t index);
