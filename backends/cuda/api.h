/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* CUDA's driver API as a struct weir_gpu_api. */
#include "base/error.h"
#include "kernels/gpu_api.h"

/* NULL and the sentence where there is no usable driver. */
const struct weir_gpu_api *weir_cuda_api(struct weir_error *err);
