/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Chooses one token from a row of logits, as struct weir_sampling asks.
 *
 * Order: bias, penalties (repetition over the history; presence and frequency over the completion),
 * mask; temperature 0: the largest, lowest id on ties; else temperature, top_k, typical_p, top_p,
 * min_p (each on what the one before left, renormalised), and a draw from (seed, sample_index).
 * Log-probabilities are of the model's own distribution, before any of this.
 * Cost: the vocabulary is never sorted. Passes over it are vectorised; block maxima tell which
 * blocks can hold candidates, and selection among those is by partition, expected linear.
 * Determinism: a pure function of logits and part on a machine.
 * Ownership: the sampler owns scratch for one row. Threads: one sampler per thread.
 * Errors: WEIR_E_ARG when the mask and biases leave no token, WEIR_E_DEVICE on logits that are no
 * numbers. */
#include <stdint.h>

#include "base/error.h"
#include "weir/backend_step.h"

struct weir_sampler;

WEIR_NODISCARD int weir_sampler_create(uint32_t n_vocab, struct weir_sampler **ret_sampler);
void weir_sampler_destroy(struct weir_sampler *s); /* NULL ok */

/* Fills tokens[0], n_tokens and, where WEIR_STEP_LOGPROBS asks, logprobs[0] and top[]. Changes the
 * logits. part->sampling NULL is greedy. */
WEIR_NODISCARD int weir_sample(struct weir_sampler *s, float *logits, const weir_step_part *part,
                               weir_step_result *result);
