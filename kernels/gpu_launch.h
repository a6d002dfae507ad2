/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What an op tells the host so that its kernel runs: the seam between kernels/ and backends/gpu/.
 *
 * `int weir_<op>_launch(const struct weir_<op>_args *, const struct weir_gpu_props *,
 *                       struct weir_gpu_launch *out)` checks the arguments (negative WEIR_E_*:
 * out of the op's range), picks the variant for shape and device and fills `out`. It does not touch
 * device memory, so it can run while a graph is captured. An op of several kernels fills out[0..n)
 * and gives n; else it gives 1. 0: nothing to do.
 * Ownership: `args` points to the caller's struct; the host copies it when it launches.
 * Threads: any; pure functions. */
#include <stddef.h>
#include <stdint.h>

enum weir_gpu_family { WEIR_GPU_NV, WEIR_GPU_CDNA };

struct weir_gpu_props {
    enum weir_gpu_family family;
    uint32_t arch;         /* 80, 90, 100 (compute capability * 10); 0x90a, 0x942 */
    uint32_t n_sm;         /* multiprocessors or compute units */
    uint32_t lanes;        /* 32 or 64 */
    uint32_t shared_bytes; /* most dynamic shared memory of a block */
    uint64_t l2_bytes;
    int has_wgmma; /* code for sm_90a is loaded */
};

struct weir_gpu_launch {
    const char *kernel;
    uint32_t grid[3];
    uint32_t block;
    uint32_t shared_bytes;
    const void *args;
    size_t args_bytes;
    /* Set by the host, see weir_gpu_starts_early(): the kernel may start before the launch ahead of
     * it in the stream is done, and waits by itself before it touches what others write. */
    uint32_t early;
};

static inline uint32_t weir_gpu_starts_early(const struct weir_gpu_props *props)
{
    return props->family == WEIR_GPU_NV && props->arch >= 90;
}

#ifdef __cplusplus
static_assert(sizeof(float) == 4, "");
#endif
