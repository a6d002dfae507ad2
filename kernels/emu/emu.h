/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Runs device kernels on the CPU: one fiber per device thread, blocks spread over OS threads.
 *
 * Why: every kernel and the whole GPU backend can be tested, and small models served, without a
 * GPU. It also finds what a GPU hides: threads run in an order that the seed chooses, shared memory
 * starts as NaNs, and barriers that not all threads reach end the launch with a sentence.
 * It has no timing and no memory model: blocks must not wait for each other.
 * Ownership: a pool owns its OS threads and the fibers' stacks (at most 1024 of 256 KB, reserved
 * but touched only as needed, per OS thread).
 * Threads: one launch at a time per pool.
 * Errors: 0, WEIR_E_ARG for a launch that no device would take, WEIR_E_DEVICE when a kernel broke a
 * rule; `reterr` says which, where. */
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "kernels/gpu_api.h"
#include "kernels/gpu_collective.h"

struct weir_emu_pool;

struct weir_emu_kernel {
    const char *name;
    uint32_t lanes;
    void (*entry)(const void *args);
    size_t args_bytes;
};

/* n_threads 0: as many as there are processors, at most 8. */
WEIR_NODISCARD int weir_emu_pool_create(uint32_t n_threads, struct weir_emu_pool **ret_pool);
void weir_emu_pool_destroy(struct weir_emu_pool *pool);
/* The order of threads; another seed, another order. */
void weir_emu_pool_seed(struct weir_emu_pool *pool, uint64_t seed);

WEIR_NODISCARD int weir_emu_pool_run(struct weir_emu_pool *pool,
                                     const struct weir_emu_kernel *kernel,
                                     const struct weir_gpu_launch *launch,
                                     struct weir_error *reterr);

/* NULL when the program has no such kernel for that wave width. */
const struct weir_emu_kernel *weir_emu_kernel_find(const char *name, uint32_t lanes);

/* The driver table. Devices 0 and 1 have waves of 32 and NVIDIA's matrix instructions, 2 and 3
 * waves of 64 and CDNA's. */
const struct weir_gpu_api *weir_emu_api(void);
/* Sums over its devices. */
const struct weir_gpu_collective *weir_emu_collective(void);
/* The pool behind a context of that table, for tests that set a seed. */
struct weir_emu_pool *weir_emu_context_pool(void *context);
