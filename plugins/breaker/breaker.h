/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The plugin's settings, for its files. */
#include "circuit_set.h"

struct breaker_settings {
    struct circuit_settings circuit;
    uint32_t max_open_percent;
};

extern const char breaker_schema[];
int breaker_read_settings(struct breaker_settings *s, weir_str json);
