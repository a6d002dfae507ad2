/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Sums over devices by NCCL, or by RCCL, which has the same functions; found at run time.
 *
 * Why: as for the drivers, the same binary has to run where the library is not.
 * A group is one communicator per device, all of this process. A context must be the device's own
 * one (context_share), as the library works in no other.
 * Ownership: the library stays open until the process ends. Threads: open() from one at a time.
 * Errors: open() says in one sentence what is missing. */
#include "base/error.h"
#include "kernels/gpu_collective.h"

/* name: "libnccl.so.2". The same library at each call. */
const struct weir_gpu_collective *weir_nccl_open(const char *library, struct weir_error *err);
