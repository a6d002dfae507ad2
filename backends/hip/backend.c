/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/hip/backend.h"

#include "backends/hip/api.h"
#include "backends/hip/rocm_smi.h"

enum { SCORE = 1000 };

const struct weir_gpu_backend weir_hip_backend = {
    .name = "hip",
    .open = weir_hip_api,
    .collective = weir_hip_collective,
    .monitor = &weir_rocm_smi_monitor,
    .score = SCORE,
    .images = weir_hip_images,
    .n_images = &weir_hip_images_count,
};
