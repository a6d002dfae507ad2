/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The GPU backends that are linked into a check program. */
#include "backends/gpu/backend.h"

/* By name; NULL: unknown. */
const struct weir_gpu_backend *gpu_backend_find(const char *name);
