/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Faults of a driver, for the stub libraries: which call fails, and how.
 *
 * They are named in the environment, WEIR_GPU_FAULT, or in a file whose path is WEIR_GPU_FAULT_FILE
 * and that may come and go while the program runs. A text of words:
 *
 *     init=CODE    the driver does not start       devices=N  it sees so many devices
 *     version=N    its version                     memory=MB  of each device
 *     alloc=CODE   allocations fail                launch=CODE  kernels fail, and all calls after
 *     hang         kernels never end               on=N       `launch` is meant for device N alone
 *     nccl=CODE    devices cannot be joined          busy=N    percent, of NVML and ROCm SMI
 *     throttle=N   why clocks are held down          ecc=N     memory errors
 *     xid=N        the driver reports that error
 * Threads: any. */
#include <stdint.h>

/* The value of a word, `fallback` where it does not stand; words without "=" have 1. */
int64_t fault_value(const char *word, int64_t fallback);
