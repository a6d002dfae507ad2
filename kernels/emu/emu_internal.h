/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the parts of the emulator ask of each other: emu_pool.c of emu_block.c the fibers of one
 * block, emu_collective.c of emu_api.c a place in a stream. */
#include "kernels/emu/emu.h"

enum { WEIR_EMU_MAX_THREADS = 1024 };

struct weir_emu_block; /* state of one OS thread, reused from block to block */

WEIR_NODISCARD int weir_emu_block_create(struct weir_emu_block **ret_block);
void weir_emu_block_destroy(struct weir_emu_block *block);

/* Runs block (x, y, z) of the launch to its end. NULL, or a sentence about what went wrong, valid
 * until the next run. */
const char *weir_emu_block_run(struct weir_emu_block *block, const struct weir_emu_kernel *kernel,
                               const struct weir_gpu_launch *launch, const uint32_t at[3],
                               uint64_t seed);

/* Saves the callee's registers on the stack, stores the stack pointer in *save, takes `to`. */
void weir_emu_switch(void **save, void *to);

/* Puts a function of the host behind what a stream has, with a copy of its arguments; it may be
 * captured. A negative result loses the device. */
typedef int weir_emu_call(const void *args, struct weir_error *err);
WEIR_NODISCARD int weir_emu_stream_call(void *stream, weir_emu_call *call, const void *args,
                                        size_t n_bytes);
