/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A decoder with the shape of an 8B Llama 3 and random weights, without a file: for measuring speed
 * where no such model can be fetched.
 *
 * All tensors of a type share one buffer of random blocks, so that 16 GB of weights cost a second
 * and 1 GB of main memory; on the device each tensor gets its own memory all the same.
 * Ownership: create() to destroy(). The model borrows nothing else. */
#include "engine/gguf/gguf.h"
#include "engine/model/model.h"

struct synthetic_shape {
    uint32_t n_layer, n_embd, n_ff, n_head, n_head_kv, head_dim, n_vocab, n_ctx;
};

extern const struct synthetic_shape synthetic_8b, synthetic_tiny;

struct synthetic;

/* type: an enum weir_tensor_type of the layers; the head is Q6_K beside 4-bit layers, as in usual
 * files. */
struct synthetic *synthetic_create(const struct synthetic_shape *shape, uint32_t type);
void synthetic_destroy(struct synthetic *s);
const struct weir_model *synthetic_model(const struct synthetic *s);
