/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A private, sealed copy of a shared object's file, with its hash.
 *
 * Ownership: the caller closes fd. Threads: any. Errors: WEIR_E_IO, WEIR_E_TOOBIG, WEIR_E_FORMAT
 * when the file is no ELF shared object for this machine. */
#include "base/error.h"

enum { WEIR_PLUGIN_MAX_FILE_BYTES = 512 * 1024 * 1024 };

struct weir_plugin_image {
    int fd; /* anonymous memory with the file's bytes */
    char sha256[65];
};

int weir_plugin_image_read(const char *path, struct weir_plugin_image *ret_image,
                           struct weir_error *err);
