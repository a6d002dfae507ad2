/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A decoder with random weights in memory, of any shape and with any of the parts that
 * architectures have: for tests that compare two ways to run a model.
 * Ownership: create() to destroy(); aborts the program without memory. Threads: any. */
#include "engine/gguf/gguf.h"
#include "engine/model/model.h"

struct small_decoder_shape {
    uint32_t n_layer, n_embd, n_ff, n_head, n_head_kv, head_dim, n_vocab;
    uint32_t type, o_type, down_type; /* F16, Q8_0, Q4_0 or Q4_K */
    bool has_qkv_bias, has_qk_norm, has_post_norm;
};

struct small_decoder;

struct small_decoder *small_decoder_create(const struct small_decoder_shape *shape);
void small_decoder_destroy(struct small_decoder *d);
const struct weir_model *small_decoder_model(const struct small_decoder *d);
