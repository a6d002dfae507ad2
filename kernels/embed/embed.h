/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* out[t] = row ids[t] of the embedding table * scale.
 *
 * The table lies on the device as in the GGUF file, so that a row is a run of bytes whatever the
 * type (a tied head has a packed copy of its own). Numbers are bit-exact with
 * engine/quant/dequant.h. from[t] >= 0 takes the token that the sampler of the step before has just
 * written, so that a step can be launched before the host knows its tokens. An id outside the table
 * gives zeros: padding. Mapping: one thread per number, 256 a block. Bound: bytes, a few rows. */
#include <stdint.h>

#include "kernels/gpu_launch.h"

struct weir_embed_args {
    const uint8_t *table;
    const int32_t *ids;     /* [n_tokens] */
    const int32_t *from;    /* [n_tokens] index in `sampled` or -1; NULL: none */
    const int32_t *sampled; /* ids of the step before, weir_sample_args.ids */
    float *out;             /* [n_tokens][n_embd] */
    uint64_t row_bytes;
    uint32_t type; /* enum weir_tensor_type */
    uint32_t n_tokens, n_embd, n_vocab;
    float scale;
};

#ifdef __cplusplus
extern "C" {
#endif
/* WEIR_E_ARG for arguments out of the contract above. */
int weir_embed_launch(const struct weir_embed_args *args, const struct weir_gpu_props *props,
                      struct weir_gpu_launch *out);
#ifdef __cplusplus
}
#endif
