/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The weights of one LINEAR on the device: up to three tensors of any types, or the device's parts
 * of them, whose output rows lie under each other, packed as the kernels want them.
 *
 * Ownership: the memory is the model's. Threads: the model's.
 * Errors: WEIR_E_UNSUPPORTED for a shape or type that no kernel takes. */
#include "backends/gpu/share.h"
#include "backends/gpu/upload.h"
#include "kernels/linear/pack.h"

struct weir_gpu_segment {
    struct weir_pack_plan plan;
    struct weir_gpu_matrix matrix; /* on the device, after load */
    struct weir_gpu_slice slice;   /* of the tensor */
    uint32_t row_begin;
    uint8_t *memory; /* [plan.n_bytes] on the device */
};

struct weir_gpu_linear {
    uint32_t n_rows, n_cols, n_segments;
    struct weir_gpu_segment segments[WEIR_OP_WEIGHTS_MAX];
    float *bias; /* [n_rows] on the device, or NULL */
    /* Where its rows lie in y, if they are not all of it; else 0. */
    uint32_t y_at, y_stride;
};

/* Shape, segments and packed sizes; nothing on the device yet. */
WEIR_NODISCARD int weir_gpu_linear_plan(struct weir_gpu_linear *l,
                                        const struct weir_gpu_share *share,
                                        const struct weir_hparams *whole, const struct weir_op *op,
                                        uint32_t lanes, struct weir_error *err);
/* Packs the op's tensors and sends them to segments[].memory; calls progress(arg, bytes of the
 * source) behind each slice, and gives up with WEIR_E_CANCELLED when that returns non-zero. */
WEIR_NODISCARD int weir_gpu_linear_load(struct weir_gpu_linear *l, const struct weir_op *op,
                                        struct weir_gpu_upload *u, uint32_t n_threads,
                                        int (*progress)(void *arg, uint64_t n_bytes), void *arg);
/* What is multiplied with, and where it goes. */
struct weir_gpu_product {
    const uint16_t *x; /* [n_tokens][n_cols] binary16 */
    float *y;          /* [n_tokens][y_stride or n_rows], or [n_rows / 2] behind a GLU; or NULL */
    uint16_t *y_f16;   /* instead of y; not with add */
    uint32_t n_tokens;
    bool add; /* to what is in y */
    bool glu; /* y = activation(first tensor's) * second tensor's */
    enum weir_activation activation;
    void *scratch; /* weir_linear_workspace_bytes() on the device, zeroed once */
};

/* GLU can be part of the product: two tensors of one kind and shape. */
bool weir_gpu_linear_takes_glu(const struct weir_gpu_linear *l);
WEIR_NODISCARD int weir_gpu_linear_multiply(const struct weir_gpu_linear *l,
                                            struct weir_gpu_device *d,
                                            const struct weir_gpu_product *product);
