/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* SHA-256 of files, on the way from one to another or alone.
 * Threads: [main]. Errors: WEIR_E_IO, WEIR_E_NOMEM, with a sentence. */
#include "base/error.h"

enum { WEIR_DIGEST_HEX_BYTES = 65 };

/* Lower-case hexadecimal, NUL-ended. */
int weir_digest_file(const char *path, char out[WEIR_DIGEST_HEX_BYTES], struct weir_error *err);
/* Writes the pieces one after the other into the new file `to` (synced to disk) and gives the
 * digest of the whole. */
int weir_digest_join(const char *const *pieces, size_t n, const char *to,
                     char out[WEIR_DIGEST_HEX_BYTES], struct weir_error *err);
