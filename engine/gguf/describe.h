/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a person wants to know about a model file before loading it.
 * Ownership: strings point into the reader. Threads: any. */
#include "engine/gguf/gguf.h"

#define WEIR_GGUF_SUMMARY_MAX_TYPES 42u

struct weir_gguf_type_share {
    uint32_t type;
    uint32_t n_tensors;
    uint64_t n_params;
    uint64_t n_bytes;
};

struct weir_gguf_summary {
    weir_str arch; /* "llama"; empty when the file does not say */
    weir_str name;
    uint64_t context_length; /* tokens that the model was trained for; 0: not stated */
    uint64_t n_params;       /* numbers in all tensors */
    uint64_t file_bytes;
    size_t n_tensors;
    size_t n_types;
    struct weir_gguf_type_share types[WEIR_GGUF_SUMMARY_MAX_TYPES]; /* most bytes first */
    size_t n_unsupported;       /* tensors of a type that weir cannot compute with */
    weir_str first_unsupported; /* the name of the first of them */
    const char *first_unsupported_type;
    char mix[128]; /* "Q4_1 98.5%, F32 1.5%": shares of bytes, for people */
};

void weir_gguf_describe(const struct weir_gguf *g, struct weir_gguf_summary *ret_summary);
