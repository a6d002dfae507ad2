/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/gpu.h"
#include "kernels/to_half/to_half.h"

GPU_KERNEL(weir_to_half, struct weir_to_half_args)
{
    const uint64_t i = ((uint64_t)gpu_block_x() * gpu_block_threads() + gpu_thread()) * 4;
    if (i >= args.n) {
        return;
    }
    const gpu_f4 v = gpu_load<gpu_f4>(args.in + i);
    const gpu_u2 halves = {gpu_pack_f16(v.x, v.y), gpu_pack_f16(v.z, v.w)};
    gpu_store<gpu_u2>(args.out + i, halves);
}
