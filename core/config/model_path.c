/* SPDX-License-Identifier: Apache-2.0 */
#include "model_path.h"

#include <stdio.h>
#include <stdlib.h>

static int write_path(char out[WEIR_MODEL_PATH_BYTES], const char *dir, const char *rest,
                      struct weir_error *err)
{
    int n = snprintf(out, WEIR_MODEL_PATH_BYTES, "%s%s", dir, rest);
    if (n < 0 || n >= WEIR_MODEL_PATH_BYTES) {
        return weir_error_set(err, WEIR_E_TOOBIG, "the path of the models directory is too long");
    }
    return 0;
}

int weir_models_dir(const char *models_dir, char out[WEIR_MODEL_PATH_BYTES], struct weir_error *err)
{
    const char *from_env = getenv("WEIR_MODELS");
    if (models_dir || (from_env && *from_env)) {
        return write_path(out, models_dir ? models_dir : from_env, "", err);
    }
    const char *home = getenv("HOME");
    if (!home || !*home) {
        return weir_error_set(err, WEIR_E_NOTFOUND,
                              "no models directory is known: set WEIR_MODELS or HOME");
    }
    return write_path(out, home, "/.cache/weir/models", err);
}

int weir_model_path(const char *models_dir, const char *file, char out[WEIR_MODEL_PATH_BYTES],
                    struct weir_error *err)
{
    if (strchr(file, '/')) {
        return write_path(out, file, "", err);
    }
    char dir[WEIR_MODEL_PATH_BYTES];
    int r = weir_models_dir(models_dir, dir, err);
    if (r < 0) {
        return r;
    }
    size_t n = strlen(dir);
    if (n + 1 + strlen(file) >= sizeof(dir)) {
        return weir_error_set(err, WEIR_E_TOOBIG, "the path of %.100s is too long", file);
    }
    dir[n] = '/';
    dir[n + 1] = '\0';
    return write_path(out, dir, file, err);
}
