/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* HIP as a struct weir_gpu_backend. Static. */
#include "backends/gpu/backend.h"

extern const struct weir_gpu_backend weir_hip_backend;
