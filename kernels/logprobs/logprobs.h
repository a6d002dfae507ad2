/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Log-probabilities of the model's own distribution, before any bias, penalty or mask:
 *
 *     log_sum = log(sum over tokens of e^logit), logprob = logit - log_sum
 *
 * and the up to 20 likeliest tokens of each row, likeliest first, ties by lowest id. Meant to run
 * before logits_adjust, which changes the logits: `raw` keeps a copy, from which `sample` takes the
 * chosen token's.
 * Mapping: one block of 1024 per listed row. Scratch as in sample.h, may be the same. */
#include <stdint.h>

#include "kernels/gpu_launch.h"

enum { WEIR_LOGPROBS_MAX = 20 };

struct weir_logprobs_row {
    uint32_t row;   /* of the logits */
    uint32_t n_top; /* at most 20 */
};

struct weir_logprobs_top {
    int32_t token; /* -1 behind the last */
    float logprob;
};

struct weir_logprobs_args {
    const float *logits; /* [rows][stride] */
    float *raw;          /* [rows][stride]: copies of the listed rows; NULL: none */
    const struct weir_logprobs_row *rows;
    double *log_sums;              /* [rows], at the listed rows' numbers */
    struct weir_logprobs_top *top; /* [rows][20], likewise */
    uint32_t *keys;                /* scratch [rows][n_vocab] */
    float *weights;                /* scratch [rows][n_vocab] */
    int32_t *candidates;           /* scratch [rows][n_vocab] */
    uint32_t n_rows;               /* listed */
    uint32_t n_vocab, stride;
};

#ifdef __cplusplus
extern "C" {
#endif
/* WEIR_E_ARG for arguments out of the contract above. */
int weir_logprobs_launch(const struct weir_logprobs_args *args, const struct weir_gpu_props *props,
                         struct weir_gpu_launch *out);
#ifdef __cplusplus
}
#endif
