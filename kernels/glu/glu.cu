/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/glu/glu.h"

#include "kernels/gpu.h"

GPU_DEVICE float activated(float x, uint32_t activation)
{
    if (activation == WEIR_GLU_SILU) {
        return x / (1.0f + gpu_exp_exact(-x));
    }
    const float root_2_over_pi = 0.79788456080286535588f;
    return x / 2.0f * (1.0f + gpu_tanh(root_2_over_pi * (x + 0.044715f * x * x * x)));
}

GPU_KERNEL(weir_glu, struct weir_glu_args)
{
    const uint32_t n_vectors = args.n_ff / 4;
    const uint64_t i = (uint64_t)gpu_block_x() * gpu_block_threads() + gpu_thread();
    if (i >= (uint64_t)args.n_tokens * n_vectors) {
        return;
    }
    const uint64_t token = i / n_vectors;
    const uint32_t at = (uint32_t)(i % n_vectors) * 4;
    const float *row = args.gate_up + token * 2 * args.n_ff;
    const struct gpu_f4 gate = gpu_load<struct gpu_f4>(row + at);
    const struct gpu_f4 up = gpu_load<struct gpu_f4>(row + args.n_ff + at);
    struct gpu_f4 y;
    y.x = activated(gate.x, args.activation) * up.x;
    y.y = activated(gate.y, args.activation) * up.y;
    y.z = activated(gate.z, args.activation) * up.z;
    y.w = activated(gate.w, args.activation) * up.w;
    if (args.out != nullptr) {
        gpu_store(args.out + token * args.n_ff + at, y);
    }
    if (args.out_f16 != nullptr) {
        gpu_store(args.out_f16 + token * args.n_ff + at,
                  gpu_u2{gpu_pack_f16(y.x, y.y), gpu_pack_f16(y.z, y.w)});
    }
}
