/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Brings a known model into the models directory: download, unpack, join, check, move into place.
 *
 * Why: a half-written or altered model file must never carry the name that engines look for.
 * Work happens in `.fetch-NAME` beside the target, with the directory locked; the last step is one
 * rename. A run that was interrupted leaves that folder, and the next one starts it afresh.
 * Threads: [main]. Errors: WEIR_E_* with a sentence; WEIR_E_FORMAT for a wrong digest. */
#include "base/error.h"
#include "cli/known_models.h"

enum weir_model_state {
    WEIR_MODEL_ABSENT,
    WEIR_MODEL_PARTIAL, /* there, but its size is wrong */
    WEIR_MODEL_PRESENT,
};

/* By presence and size; the digest takes longer, see weir_fetch_verify(). */
enum weir_model_state weir_fetch_state(const struct weir_known_model *model, const char *dir);
/* 0: there, with the right digest; WEIR_E_NOTFOUND; WEIR_E_FORMAT: another digest. */
int weir_fetch_verify(const struct weir_known_model *model, const char *dir,
                      struct weir_error *err);
/* Replaces what is there. Progress goes to standard error. */
int weir_fetch(const struct weir_known_model *model, const char *dir, struct weir_error *err);
