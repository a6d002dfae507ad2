/* SPDX-License-Identifier: Apache-2.0 */
/* The CUDA backend as it is, but with a code object that only the stub driver takes: so that it
 * runs in builds without nvcc. */
#include "backends/cuda/api.h"
#include "backends/cuda/nvml.h"
#include "backends/gpu/plugin_table.h"
#include "weir/plugin.h"

static const struct weir_gpu_image images[] = {{"sm_90", "all", "", 1}};
static const size_t n_images = 1;

static const struct weir_gpu_backend backend = {
    .name = "cuda",
    .open = weir_cuda_api,
    .collective = weir_cuda_collective,
    .monitor = &weir_nvml_monitor,
    .score = 1000,
    .images = images,
    .n_images = &n_images,
};

WEIR_GPU_PLUGIN(backend, "cuda", "The CUDA backend for a stub driver")
