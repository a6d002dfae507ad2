/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cuda/backend.h"

#include "backends/cuda/api.h"
#include "backends/cuda/nvml.h"

enum { SCORE = 1000 };

const struct weir_gpu_backend weir_cuda_backend = {
    .name = "cuda",
    .open = weir_cuda_api,
    .collective = weir_cuda_collective,
    .monitor = &weir_nvml_monitor,
    .score = SCORE,
    .images = weir_cuda_images,
    .n_images = &weir_cuda_images_count,
};
