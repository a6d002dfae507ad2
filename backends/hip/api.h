/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* HIP's module API as a struct weir_gpu_api. */
#include "base/error.h"
#include "kernels/gpu_api.h"
#include "kernels/gpu_collective.h"

/* NULL and the sentence where there is no usable runtime. */
const struct weir_gpu_api *weir_hip_api(struct weir_error *err);
/* RCCL; NULL and the sentence where it is not there. */
const struct weir_gpu_collective *weir_hip_collective(struct weir_error *err);
