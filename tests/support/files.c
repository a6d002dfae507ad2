/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/cmocka.h"

char *weir_test_read_file(const char *path, size_t *ret_len_bytes)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        fail_msg("cannot open %s", path);
    }
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    long len = ftell(f);
    assert_true(len >= 0);
    rewind(f);
    char *bytes = malloc((size_t)len + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, (size_t)len, f), (size_t)len);
    bytes[len] = '\0';
    (void)fclose(f);
    if (ret_len_bytes) {
        *ret_len_bytes = (size_t)len;
    }
    return bytes;
}

const char *weir_test_data_path(const char *name)
{
    static char path[1024];
    (void)snprintf(path, sizeof(path), "%s/tests/%s", WEIR_SOURCE_ROOT, name);
    return path;
}

const char *weir_test_model_path(const char *file)
{
    static char path[1024];
    const char *models = getenv("WEIR_MODELS");
    const char *home = getenv("HOME");
    if (models) {
        (void)snprintf(path, sizeof(path), "%s/%s", models, file);
    } else {
        (void)snprintf(path, sizeof(path), "%s/.cache/weir/models/%s", home ? home : "", file);
    }
    return access(path, R_OK) == 0 ? path : NULL;
}
