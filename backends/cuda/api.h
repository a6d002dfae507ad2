/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* CUDA's driver API as a struct weir_gpu_api. */
#include "base/error.h"
#include "kernels/gpu_api.h"
#include "kernels/gpu_collective.h"

/* NULL and the sentence where there is no usable driver. */
const struct weir_gpu_api *weir_cuda_api(struct weir_error *err);
/* NCCL; NULL and the sentence where it is not there. */
const struct weir_gpu_collective *weir_cuda_collective(struct weir_error *err);
