/* SPDX-License-Identifier: Apache-2.0 */
/* The CUDA backend as a plugin. */
#include "weir/plugin.h"
#include "backends/cuda/backend.h"
#include "backends/gpu/plugin_table.h"

WEIR_GPU_PLUGIN(weir_cuda_backend, "cuda",
                "Runs GGUF models on NVIDIA GPUs through the CUDA driver")
