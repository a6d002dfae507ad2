/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a plain YAML scalar means, by the core schema of YAML 1.2.2 (section 10.3.2).
 *
 * Why: YAML 1.1 turned `no`, `on` and `12:30` into something else than their text; 1.2 does not.
 * Threads: any; pure functions. */
#include <stdbool.h>

#include "weir/types.h"

enum weir_scalar_kind {
    WEIR_SCALAR_NULL,
    WEIR_SCALAR_BOOL,
    WEIR_SCALAR_INT,
    WEIR_SCALAR_FLOAT,
    WEIR_SCALAR_STRING,
};

struct weir_scalar {
    enum weir_scalar_kind kind;
    bool boolean;
    int64_t integer;
    double number; /* also set for an integer */
};

/* 0; WEIR_E_TOOBIG for a whole number outside of int64 or a float outside of double;
 * WEIR_E_UNSUPPORTED for infinity and not-a-number, which JSON cannot carry. */
int weir_scalar_resolve(weir_str text, struct weir_scalar *ret_scalar);
