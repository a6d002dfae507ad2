/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a request asks of its logits before a token is chosen, in place and in this order:
 *
 *     l += bias                                                      listed tokens
 *     l  = (l > 0 ? l / repetition : l * repetition)
 *          - n * frequency - (n > 0 ? presence : 0)                  each token of the history once
 *     l  = -inf                                                      tokens without their mask bit
 *
 * where n counts the token in the completion. The meaning and every rounding are those of
 * engine/sampling/sample.h. Tokens outside the vocabulary are skipped.
 * Repetition as in Keskar et al., "CTRL", arXiv 1909.05858.
 * Mapping: one block of 512 per listed row; only rows that ask for something are listed. */
#include <stdint.h>

#include "kernels/gpu_launch.h"

struct weir_adjust_bias {
    int32_t token;
    float bias;
};

enum { WEIR_ADJUST_NO_MASK = 0xFFFFFFFFu };

struct weir_adjust_row {
    uint32_t row;                   /* of the logits */
    uint32_t first_bias, n_bias;    /* in `biases` */
    uint32_t first_token, n_tokens; /* in `history`; 0 where there are no penalties */
    uint32_t n_prompt;              /* how many of them are the prompt's, first */
    uint32_t first_mask;            /* in `masks`, or WEIR_ADJUST_NO_MASK */
    float repetition, presence, frequency;
};

struct weir_adjust_args {
    float *logits; /* [rows][stride] */
    const struct weir_adjust_row *rows;
    const struct weir_adjust_bias *biases;
    const int32_t *history;
    const uint32_t *masks; /* runs of ceil(n_vocab / 32) words, bit 1: allowed */
    uint32_t *counts;      /* scratch [n_rows][n_vocab], 0 before and after */
    int32_t *status;       /* [n_rows] 1: the logits were no numbers before the mask, else 0 */
    uint32_t n_rows;       /* listed */
    uint32_t n_vocab, stride;
};

#ifdef __cplusplus
extern "C" {
#endif
/* WEIR_E_ARG for arguments out of the contract above. */
int weir_logits_adjust_launch(const struct weir_adjust_args *args,
                              const struct weir_gpu_props *props, struct weir_gpu_launch *out);
#ifdef __cplusplus
}
#endif
