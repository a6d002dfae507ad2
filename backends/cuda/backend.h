/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* CUDA as a struct weir_gpu_backend. Static. */
#include "backends/gpu/backend.h"

extern const struct weir_gpu_backend weir_cuda_backend;
