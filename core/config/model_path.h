/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Where model files live: `models_dir` of the configuration, else $WEIR_MODELS, else
 * ~/.cache/weir/models.
 * Threads: any, while nobody changes the environment. Errors: WEIR_E_NOTFOUND when no directory is
 * known, WEIR_E_TOOBIG when the path does not fit; with a sentence. */
#include "base/error.h"

enum { WEIR_MODEL_PATH_BYTES = 4096 };

/* `models_dir` may be NULL. The directory need not exist. */
int weir_models_dir(const char *models_dir, char out[WEIR_MODEL_PATH_BYTES],
                    struct weir_error *err);
/* A file with a slash is a path as it stands; a bare name is looked up in the directory. */
int weir_model_path(const char *models_dir, const char *file, char out[WEIR_MODEL_PATH_BYTES],
                    struct weir_error *err);
