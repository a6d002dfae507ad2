/* SPDX-License-Identifier: Apache-2.0 */
/* The HIP backend as a plugin. */
#include "weir/plugin.h"
#include "backends/gpu/plugin_table.h"
#include "backends/hip/backend.h"

WEIR_GPU_PLUGIN(weir_hip_backend, "hip", "Runs GGUF models on AMD GPUs through the HIP runtime")
