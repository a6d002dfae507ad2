/* SPDX-License-Identifier: Apache-2.0 */
/* The HIP backend as it is, but with a code object that only the stub driver takes: so that it runs
 * in builds without a HIP compiler. */
#include "backends/gpu/plugin_table.h"
#include "backends/hip/api.h"
#include "backends/hip/rocm_smi.h"
#include "weir/plugin.h"

static const struct weir_gpu_image images[] = {{"gfx942", "all", "", 1}};
static const size_t n_images = 1;

static const struct weir_gpu_backend backend = {
    .name = "hip",
    .open = weir_hip_api,
    .collective = weir_hip_collective,
    .monitor = &weir_rocm_smi_monitor,
    .score = 1000,
    .images = images,
    .n_images = &n_images,
};

WEIR_GPU_PLUGIN(backend, "hip", "The HIP backend for a stub driver")
