/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/logprobs/logprobs.h"

#include "kernels/sample/sample.h"
#include "kernels/sample/select_device.h"

struct shared {
    struct select_shared select;
    uint32_t keys[WEIR_LOGPROBS_MAX];
    int32_t ids[WEIR_LOGPROBS_MAX];
    uint32_t n_kept;
};

/* The n likeliest candidates, in order. Those that a selection keeps are n exactly; the place of
 * each is how many of them come before it. */
GPU_DEVICE void give_top(const struct candidates &c, uint32_t n, const float *x, double log_sum,
                         struct weir_logprobs_top *top, struct shared &sh)
{
    const struct select_end end = select_prefix<false>(c, n, sh.select);
    if (gpu_thread() == 0) {
        sh.n_kept = 0;
    }
    gpu_sync();
    for (uint32_t i = gpu_thread(); i < c.n; i += gpu_block_threads()) {
        if (is_before(end, c.keys[i], c.ids[i])) {
            const uint32_t at = gpu_atomic_add(&sh.n_kept, 1u);
            if (at < WEIR_LOGPROBS_MAX) {
                sh.keys[at] = c.keys[i];
                sh.ids[at] = c.ids[i];
            }
        }
    }
    gpu_sync();
    const uint32_t i = gpu_thread();
    if (i < n && i < sh.n_kept) {
        uint32_t place = 0;
        for (uint32_t k = 0; k < n && k < sh.n_kept; k++) {
            const bool comes_before =
                sh.keys[k] < sh.keys[i] || (sh.keys[k] == sh.keys[i] && sh.ids[k] < sh.ids[i]);
            place += comes_before ? 1 : 0;
        }
        top[place].token = sh.ids[i];
        top[place].logprob = (float)(x[sh.ids[i]] - log_sum);
    }
}

GPU_KERNEL(weir_logprobs, struct weir_logprobs_args)
{
    static_assert(sizeof(struct shared) <= WEIR_SELECT_SHARED_BYTES, "");
    GPU_SHARED(struct shared, shared);
    struct shared &sh = *shared;
    const struct weir_logprobs_row p = args.rows[gpu_block_x()];
    const float *x = args.logits + (size_t)p.row * args.stride;
    const struct largest l = find_largest(x, args.n_vocab, false, sh.select);
    uint64_t sum = 0;
    GPU_UNROLL_8
    for (uint32_t i = gpu_thread(); i < args.n_vocab; i += gpu_block_threads()) {
        sum += weight_units(exp_negative(x[i] - l.value));
        if (args.raw) {
            args.raw[(size_t)p.row * args.stride + i] = x[i];
        }
    }
    const double log_sum = l.value + gpu_log_double(weight_value(block_sum_units(sum, sh.select)));
    struct weir_logprobs_top *top = args.top + (size_t)p.row * WEIR_LOGPROBS_MAX;
    if (gpu_thread() == 0) {
        args.log_sums[p.row] = log_sum;
    }
    if (gpu_thread() < WEIR_LOGPROBS_MAX) {
        top[gpu_thread()].token = -1;
        top[gpu_thread()].logprob = 0.0f;
    }
    gpu_sync();
    uint32_t n = p.n_top < WEIR_LOGPROBS_MAX ? p.n_top : (uint32_t)WEIR_LOGPROBS_MAX;
    n = n < args.n_vocab ? n : args.n_vocab;
    if (n == 0 || l.is_bad) {
        return;
    }
    const size_t first = (size_t)p.row * args.n_vocab;
    struct candidates c = {args.keys + first, args.weights + first, args.candidates + first, 0};
    gather(x, args.n_vocab, key_of_kth(n, sh.select), l.value, 1.0f, c, sh.select);
    give_top(c, n, x, log_sum, top, sh);
}
