/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Time in microseconds. Monotonic for durations, wall for what people and protocols read.
 * Threads: any. */
#include <stdint.h>

uint64_t weir_clock_mono_us(void);
uint64_t weir_clock_wall_us(void); /* since 1970-01-01 UTC */
uint64_t weir_clock_wall_s(void);  /* the same, rounded down; much cheaper */
