/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What an emulated device thread sees of its block: the kernels' side of the emulator. Only
 * kernels/target/emulator.h includes it.
 *
 * Threads: valid on an OS thread while it runs a block; each OS thread has its own.
 * Errors: a breach of the rules (unequal barriers, misaligned access) ends the block and makes the
 * launch fail with a sentence. */
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_emu_self {
    uint32_t thread, n_threads;
    uint32_t block[3], grid[3];
    void *shared;
};

/* Matrices that a wave multiplies, by row and k. */
struct weir_emu_tile {
    float a[16][16], b[16][16];
    int ai[16][32], bi[16][32];
};

/* Fields of the running block; `thread` changes at every switch. */
extern __thread struct weir_emu_self *weir_emu_self;

void weir_emu_barrier(void);
/* group: 32 or 64 threads. */
void weir_emu_group_barrier(uint32_t group);
/* Publishes `bits` to the 32 threads of the sub-group and gives what thread `from` published. */
uint64_t weir_emu_exchange(uint64_t bits, uint32_t from);
uint64_t weir_emu_ballot(int p, uint32_t group);
/* The wave's tile for the next product; two take turns, so that a quick lane spoils nothing. */
struct weir_emu_tile *weir_emu_tile(uint32_t group);
void weir_emu_fail(const char *sentence) __attribute__((noreturn));

/* Called before main() by every kernel of the program. Gives 1. */
int weir_emu_register(const char *name, uint32_t lanes, void (*entry)(const void *args),
                      size_t args_bytes);

static inline void weir_emu_check_aligned(const void *p, size_t alignment)
{
    if ((uintptr_t)p % alignment != 0) {
        weir_emu_fail("a misaligned access");
    }
}

static inline float weir_emu_dot(float sum, const float *a, const float *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        sum += a[i] * b[i];
    }
    return sum;
}

static inline int weir_emu_dot_int(int sum, const int *a, const int *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        sum += a[i] * b[i];
    }
    return sum;
}

#ifdef __cplusplus
}
#endif
