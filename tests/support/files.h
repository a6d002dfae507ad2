/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Files for tests: whole files in memory, the tests' data, the models of this machine. */
#include <stddef.h>

/* Reads a whole file; free() the result. Fails the test when it cannot. One NUL is appended. */
char *weir_test_read_file(const char *path, size_t *ret_len_bytes);

/* SOURCE/tests/NAME in a static buffer that the next call overwrites. */
const char *weir_test_data_path(const char *name);

/* The model's path under $WEIR_MODELS or ~/.cache/weir/models in a static buffer; NULL when the
 * model is not there. */
const char *weir_test_model_path(const char *file);
