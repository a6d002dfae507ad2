/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The vocabulary of a backend that has no model file: its own tokenize, piece and is_end.
 *
 * How: the pieces are read once and kept, so that they can be borrowed.
 * Errors: WEIR_E_UNSUPPORTED when the backend lacks one of the three; WEIR_E_FORMAT when its tokens
 * make no sense; WEIR_E_NOMEM. */
#include "engine/vocabulary.h"
#include "weir/backend_step.h"

struct weir_backend_vocabulary;

/* The view borrows *ret_impl, which is the caller's; backend and model must outlive both. */
int weir_backend_vocabulary_create(const weir_backend_step *backend, void *model, uint32_t n_vocab,
                                   struct weir_backend_vocabulary **ret_impl,
                                   struct weir_vocabulary *ret_view);
void weir_backend_vocabulary_destroy(struct weir_backend_vocabulary *v); /* NULL ok */
