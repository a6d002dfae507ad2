/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Which of the built-in code objects run on a device. NVIDIA code of an older minor architecture
 * runs on newer ones of the same major number, code with an 'a' on its own only; AMD code runs on
 * its own alone.
 * Threads: any. Errors: WEIR_E_UNSUPPORTED when there is no code for the device. */
#include "backends/gpu/backend.h"

enum { WEIR_GPU_ARCH_BYTES = 16 };

/* The architecture's name as the images have it: "sm_90a". */
WEIR_NODISCARD int weir_gpu_code_find(const struct weir_gpu_backend *backend,
                                      const struct weir_gpu_props *props,
                                      char ret_arch[WEIR_GPU_ARCH_BYTES], struct weir_error *err);
