/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Shares a loop over threads: packing weights is bound by cores, not by the bus.
 * The threads live for one call: a slice of weights takes milliseconds, starting them microseconds.
 * Threads: one caller at a time. Errors: where a thread cannot be started, the caller does its
 * share. */
#include <stddef.h>
#include <stdint.h>

enum { WEIR_GPU_CREW_MAX = 32 };

/* Calls fn(arg, begin, end) for runs that together are [0, n). */
void weir_gpu_crew_run(uint32_t n_threads, uint32_t n,
                       void (*fn)(void *arg, uint32_t begin, uint32_t end), void *arg);
