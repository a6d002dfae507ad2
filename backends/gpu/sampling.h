/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Sampling on the device: what the parts of a step ask for, as kernels read it, and the results.
 *
 * Why: a row of logits is half a megabyte; only tokens and log-probabilities go back to the host.
 * Order, as engine/sampling/sample.h says: log-probabilities of the model's own distribution, then
 * bias, penalties and mask, then the draw. The first two run only for rows that ask for them.
 * Ownership: init() takes device and pinned memory from the caller's cutters. Threads: the model's.
 * Errors: a part whose history or biases do not fit gets WEIR_E_TOOBIG and is sampled without. */
#include "backends/gpu/batch.h"
#include "backends/gpu/cutter.h"
#include "backends/gpu/device.h"
#include "kernels/logits_adjust/logits_adjust.h"
#include "kernels/logprobs/logprobs.h"
#include "kernels/sample/sample.h"

struct weir_gpu_sampling {
    uint32_t max_rows, n_vocab;
    uint32_t max_biases, max_history;

    /* What is asked for: the same pieces in pinned memory and on the device. */
    uint8_t *host, *device;
    size_t used_bytes, cap_bytes;
    struct weir_sample_row *rows;        /* [max_rows] pinned */
    struct weir_logprobs_row *top_rows;  /* [max_rows] pinned */
    struct weir_adjust_row *adjust_rows; /* [max_rows] pinned */
    struct weir_adjust_bias *biases;     /* [max_biases] pinned */
    int32_t *history;                    /* [max_history] pinned */
    uint32_t *masks;                     /* [max_rows][words] pinned */
    uint32_t n_top_rows, n_adjust_rows, n_biases, n_history, n_masks;

    /* Results, on the device and pinned. */
    struct weir_sample_result *results, *host_results; /* [max_rows] */
    struct weir_logprobs_top *top, *host_top;          /* [max_rows][20] */
    int32_t *status, *host_status;                     /* [max_rows] of listed adjust rows */

    /* Scratch on the device. */
    float *raw; /* [max_rows][n_vocab] logits before adjustment, of rows with log-probabilities */
    double *log_sums;
    uint32_t *keys, *counts;
    float *weights;
    int32_t *candidates;
};

/* Sizes, then pieces: called once with cutters that only count and once with real ones. The device
 * memory must be zeroed before the first launch. */
void weir_gpu_sampling_cut(struct weir_gpu_sampling *s, const struct weir_gpu_limits *limits,
                           struct weir_gpu_cutter *on_device, struct weir_gpu_cutter *pinned);

/* Writes down what the batch asks for. */
void weir_gpu_sampling_set(struct weir_gpu_sampling *s, const struct weir_gpu_batch *b);
/* Uploads that, launches the kernels for the rows of `logits` and fetches the results. */
WEIR_NODISCARD int weir_gpu_sampling_launch(struct weir_gpu_sampling *s, struct weir_gpu_device *d,
                                            float *logits, uint32_t n_rows);
/* After the stream has come so far: fills the parts' results. */
void weir_gpu_sampling_take(const struct weir_gpu_sampling *s, const struct weir_gpu_batch *b);
