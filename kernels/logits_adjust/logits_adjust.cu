/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/logits_adjust/logits_adjust.h"

#include "kernels/gpu.h"

/* The first entry of a token adds all of its entries, in order. */
GPU_DEVICE void add_biases(const struct weir_adjust_args &a, const struct weir_adjust_row &p,
                           float *x)
{
    const struct weir_adjust_bias *biases = a.biases + p.first_bias;
    for (uint32_t i = gpu_thread(); i < p.n_bias; i += gpu_block_threads()) {
        const int32_t token = biases[i].token;
        bool is_first = token >= 0 && (uint32_t)token < a.n_vocab;
        for (uint32_t k = 0; k < i && is_first; k++) {
            is_first = biases[k].token != token;
        }
        for (uint32_t k = i; k < p.n_bias && is_first; k++) {
            x[token] += biases[k].token == token ? biases[k].bias : 0.0f;
        }
    }
    gpu_sync();
}

GPU_DEVICE float penalised(const struct weir_adjust_row &p, float l, uint32_t n)
{
    l = l > 0.0f ? l / p.repetition : l * p.repetition;
    const float presence = n > 0 ? p.presence : 0.0f;
    return gpu_add_exact(l, -gpu_add_exact(gpu_mul_exact((float)n, p.frequency), presence));
}

/* counts[token] becomes 2 n for the completion's tokens and odd or more for the prompt's; whoever
 * takes a count that is not 0 applies it. */
GPU_DEVICE void apply_penalties(const struct weir_adjust_args &a, const struct weir_adjust_row &p,
                                float *x, uint32_t *counts)
{
    const int32_t *history = a.history + p.first_token;
    for (uint32_t i = p.n_prompt + gpu_thread(); i < p.n_tokens; i += gpu_block_threads()) {
        if (history[i] >= 0 && (uint32_t)history[i] < a.n_vocab) {
            gpu_atomic_add(&counts[history[i]], 2u);
        }
    }
    gpu_fence();
    gpu_sync();
    for (uint32_t i = gpu_thread(); i < p.n_prompt && i < p.n_tokens; i += gpu_block_threads()) {
        if (history[i] >= 0 && (uint32_t)history[i] < a.n_vocab) {
            gpu_atomic_max(&counts[history[i]], 1u);
        }
    }
    gpu_fence();
    gpu_sync();
    for (uint32_t i = gpu_thread(); i < p.n_tokens; i += gpu_block_threads()) {
        const int32_t token = history[i];
        if (token >= 0 && (uint32_t)token < a.n_vocab) {
            const uint32_t count = gpu_atomic_exchange(&counts[token], 0u);
            if (count > 0) {
                x[token] = penalised(p, x[token], count / 2);
            }
        }
    }
    gpu_sync();
}

GPU_DEVICE void apply_mask(const struct weir_adjust_args &a, const uint32_t *mask, float *x)
{
    for (uint32_t i = gpu_thread(); i < a.n_vocab; i += gpu_block_threads()) {
        if (!(mask[i / 32] >> i % 32 & 1u)) {
            x[i] = -INFINITY;
        }
    }
}

GPU_KERNEL(weir_logits_adjust, struct weir_adjust_args)
{
    const uint32_t i = gpu_block_x();
    const struct weir_adjust_row p = args.rows[i];
    float *x = args.logits + (size_t)p.row * args.stride;
    if (gpu_thread() == 0) {
        args.status[i] = 0;
    }
    gpu_sync();
    for (uint32_t k = gpu_thread(); k < args.n_vocab; k += gpu_block_threads()) {
        if (!(x[k] - x[k] == 0.0f)) {
            args.status[i] = 1; /* whoever writes, writes the same */
        }
    }
    gpu_sync();
    add_biases(args, p, x);
    if (p.n_tokens > 0) {
        apply_penalties(args, p, x, args.counts + (size_t)i * args.n_vocab);
    }
    if (p.first_mask != WEIR_ADJUST_NO_MASK) {
        apply_mask(args, args.masks + p.first_mask, x);
    }
}
