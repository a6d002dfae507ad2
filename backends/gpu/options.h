/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The options of a GPU backend: `engine.options` of the configuration. docs/gpu.md lists them.
 * Values. Threads: any. */
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct weir_gpu_options {
    uint32_t kv_type; /* enum weir_kv_type */
    bool use_graphs;
    uint64_t memory_bytes;  /* that the model may take in all; 0: what is free */
    uint32_t step_limit_ms; /* a step that takes longer has failed; 0: no limit */
};

void weir_gpu_options_init(struct weir_gpu_options *o);
/* WEIR_E_ARG: an unknown option or a wrong value, named in the sentence. */
WEIR_NODISCARD int weir_gpu_options_read(weir_str json, struct weir_gpu_options *ret_options,
                                         struct weir_error *err);
