/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The code objects that were built in: one per op and arch. A backend loads those whose `arch` its
 * device runs and looks kernels up in each.
 * Threads: any; constant tables, made by scripts/gpu-images. */
#include <stddef.h>

struct weir_gpu_image {
    const char *arch; /* "sm_90a", "gfx942" */
    const char *op;   /* "rms_norm" */
    const void *bytes;
    size_t n_bytes;
};

extern const struct weir_gpu_image weir_cuda_images[];
extern const size_t weir_cuda_images_count;
extern const struct weir_gpu_image weir_hip_images[];
extern const size_t weir_hip_images_count;
