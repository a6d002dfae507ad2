/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Chooses one token from each row of logits: arg-max (lowest id on ties) at temperature 0, else
 * temperature, top_k, typical_p, top_p, min_p, each on what the one before left, and a draw by
 * Philox4x32-10 that depends on (seed, index) alone, in order of id.
 *
 * The meaning is that of engine/sampling/sample.h, and so is the token. Bias, penalties and mask
 * come before (logits_adjust.h), log-probabilities of the unchanged logits beside it (logprobs.h).
 * Mapping: one block of 1024 per row; the row is read two or three times, from L2. Then only
 * candidates near the largest logit count; how the filters find their ends without sorting is in
 * select_device.h.
 * Scratch: per row n_vocab candidates of 12 bytes; rows at temperature 0 touch none.
 * Shared memory: 20.5 KB. */
#include <stdint.h>

#include "kernels/gpu_launch.h"

enum { WEIR_SELECT_SHARED_BYTES = 20992 }; /* of select_device.h and a little beside it */

enum {
    WEIR_SAMPLE_MAY_LACK = 1u << 0, /* -inf is a masked token; else it is an error */
    WEIR_SAMPLE_LOGPROB = 1u << 1   /* log-probability of the token wanted */
};

enum weir_sample_status {
    WEIR_SAMPLE_OK,
    WEIR_SAMPLE_NOT_FINITE, /* logits that are no numbers */
    WEIR_SAMPLE_NOTHING     /* mask and biases leave no token */
};

struct weir_sample_row {
    uint64_t seed, index;
    float temperature;      /* below 1e-5: arg-max */
    float typical_p, top_p; /* 1: off */
    float min_p;            /* 0: off */
    int32_t top_k;          /* 0: off */
    uint32_t flags;         /* WEIR_SAMPLE_* */
};

struct weir_sample_result {
    int32_t token;  /* -1 where status is not OK */
    int32_t status; /* enum weir_sample_status */
    float logprob;  /* with WEIR_SAMPLE_LOGPROB */
};

struct weir_sample_args {
    const float *logits;    /* [n_rows][stride] as adjusted */
    const float *raw;       /* [n_rows][stride] as the model gave them: for LOGPROB */
    const double *log_sums; /* [n_rows] from logprobs: for LOGPROB */
    const struct weir_sample_row *rows;
    struct weir_sample_result *results;
    int32_t *ids;        /* [n_rows] the tokens again, for the next step's embedding; or NULL */
    uint32_t *keys;      /* scratch [n_rows][n_vocab] */
    float *weights;      /* scratch [n_rows][n_vocab] */
    int32_t *candidates; /* scratch [n_rows][n_vocab] */
    uint32_t n_rows, n_vocab, stride;
};

#ifdef __cplusplus
extern "C" {
#endif
/* WEIR_E_ARG for arguments out of the contract above. */
int weir_sample_launch(const struct weir_sample_args *args, const struct weir_gpu_props *props,
                       struct weir_gpu_launch *out);
#ifdef __cplusplus
}
#endif
