/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Sums over the devices that share a model, as a table of functions: NCCL, RCCL, or the emulator's.
 *
 * Why: a model that is split over devices needs one thing that no driver has. The host code above
 * it is the same for all three.
 * A rank is one device of a group, by its place in the list that made the group.
 * Ownership: create() to destroy(). Threads: create and destroy from one; all_reduce and abort from
 * the thread that uses the rank's context, which is current.
 * Errors: 0 or a negative WEIR_E_*; error_text() explains the calling thread's last one. */
#include <stddef.h>
#include <stdint.h>

enum { WEIR_GPU_RANKS_MAX = 16 };

struct weir_gpu_collective {
    const char *name; /* "nccl", "rccl", "emu" */
    int (*create)(const uint32_t *devices, uint32_t n, void **ret_group);
    void (*destroy)(void *group); /* NULL ok */
    /* data[n] of every rank becomes their sum, in the order of the stream; can be captured. Every
     * rank asks for the same sums in the same order. */
    int (*all_reduce)(void *group, uint32_t rank, void *stream, float *data, size_t n);
    /* Some rank has failed: sums that this one waits for end without a result. What is left to do
     * with the group is destroy(). Each rank calls it for itself. */
    void (*abort)(void *group, uint32_t rank);
    const char *(*error_text)(void);
};
