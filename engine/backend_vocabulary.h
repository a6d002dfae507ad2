/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The vocabulary of a backend that has no model file: its own tokenize, piece and is_end.
 *
 * Ownership: *ret_impl is the caller's (free()); it borrows backend and model.
 * Errors: WEIR_E_UNSUPPORTED when the backend lacks one of the three; WEIR_E_FORMAT when its tokens
 * make no sense; WEIR_E_NOMEM. */
#include "engine/vocabulary.h"
#include "weir/backend_step.h"

int weir_backend_vocabulary_create(const weir_backend_step *backend, void *model, uint32_t n_vocab,
                                   void **ret_impl, struct weir_vocabulary *ret_vocabulary);
