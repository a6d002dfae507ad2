/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Where a step's time goes, kernel by kernel: a backend whose driver times each launch.
 *
 * How: an event before and behind every launch, and none starts before the one ahead of it is done.
 * A step is slower for it; what its parts take beside each other is what this shows.
 * Ownership: static, one profile at a time. Threads: that of the model. Bound: 4,096 launches a
 * step; what is beyond runs, untimed. */
#include "backends/gpu/backend.h"

/* The same backend, timed. Its models must run without graphs. */
const struct weir_gpu_backend *gpu_profile_of(const struct weir_gpu_backend *backend);
/* Forgets what was launched so far. */
void gpu_profile_begin(void);
/* Prints a line for each kernel and grid since begin(), of n_steps: "PROFILE label kernel ...". */
int gpu_profile_print(const char *label, uint32_t n_steps);
