/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* How long a thread would like to run at a time, where it shares its CPU.
 *
 * Why: network loops share CPUs with compute threads that hardly sleep. The kernel (Linux 6.12,
 * EEVDF) lets a waking thread run at once when its slice is shorter and ends before the running
 * one's; else it waits for the next tick, which at 250 Hz is up to 4 ms, as long as two tokens of a
 * small model. So loops ask for short slices, and compute threads for long ones. Shares of the CPU
 * stay the same. Older kernels ignore the wish. Threads: any, for itself. */
#include <stdint.h>

enum {
    WEIR_SLICE_LOOP_US = 300,       /* more than a turn of a loop usually takes */
    WEIR_SLICE_COMPUTE_US = 100000, /* the longest that the kernel grants */
};

void weir_slice_wish(uint32_t us);
