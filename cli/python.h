/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The Python of this machine, which downloads and unpacks packages for `weir model get`.
 *
 * Why: package indexes are pip's business: mirrors, proxies and certificates are set up for it.
 * Ownership: a value. Threads: [main].
 * Errors: WEIR_E_NOTFOUND when there is no usable Python; WEIR_E_IO when a run fails. */
#include <stdbool.h>

#include "base/error.h"

enum { WEIR_PYTHON_PATH_BYTES = 4096 };

struct weir_python {
    char path[WEIR_PYTHON_PATH_BYTES]; /* a python3 that has pip */
};

/* Takes python3 when it has pip, else makes a private environment in `dir`/venv. */
int weir_python_init(struct weir_python *python, const char *dir, struct weir_error *err);
/* Downloads the wheel of one package, without its dependencies, into `dir`. */
int weir_python_download(const struct weir_python *python, const char *requirement, const char *dir,
                         struct weir_error *err);
int weir_python_unpack(const struct weir_python *python, const char *wheel, const char *dir,
                       struct weir_error *err);
