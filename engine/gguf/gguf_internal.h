/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The reader's state, shared by gguf.c (lookup) and gguf_parse.c (checks). */
#include "engine/gguf/gguf.h"

struct weir_gguf {
    const unsigned char *bytes;
    size_t n_bytes;
    size_t data_offset;
    bool mapped; /* bytes are our mapping, not the caller's */
    size_t n_keys;
    struct weir_gguf_key *keys;
    struct weir_gguf_key **keys_by_name;
    size_t n_tensors;
    struct weir_gguf_tensor *tensors;
    struct weir_gguf_tensor **tensors_by_name;
};

/* Fills everything from bytes and n_bytes. What is half built on failure, destroy takes. */
int weir__gguf_parse(struct weir_gguf *g, struct weir_error *err);

const char *weir__gguf_type_name(enum weir_gguf_type type);

/* Bytewise order, shorter first among equal prefixes. */
static inline int weir__gguf_name_compare(weir_str a, weir_str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}
