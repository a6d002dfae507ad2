/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The plugin's configuration: its JSON Schema, and the reading of it. */
#include "adaptive.h"
#include "limiter.h"

extern const char settings_schema[];

struct settings {
    uint64_t assumed_tokens; /* of an answer that has no bound */
    bool is_adaptive;
    struct adaptive_options adaptive;
};

/* Fills in the limiter's part too. *ret_error is a sentence for the operator. */
int settings_read(weir_str json, struct settings *ret_settings, struct limiter *l,
                  const char **ret_error);
