/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a generation over the fake backend must answer, computed without engine or scheduler. */
#include <stdbool.h>

#include "tests/support/fake_backend.h"
#include "weir/backend_stream.h"

struct reference {
    char *text; /* NUL-ended; free() */
    size_t len;
    uint32_t n_tokens; /* sampled, the end token included */
    enum weir_finish finish;
};

struct reference reference_run(const struct fake_backend *f, const weir_generation *g,
                               const int32_t *prompt, uint32_t n_prompt, uint32_t max_tokens,
                               uint32_t choice);
