/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/gpu/backends.h"

#include <string.h>

#include "backends/cuda/backend.h"
#include "backends/emu/backend.h"
#include "backends/hip/backend.h"

const struct weir_gpu_backend *gpu_backend_find(const char *name)
{
    const struct weir_gpu_backend *const backends[] = {
        &weir_cuda_backend,
        &weir_hip_backend,
#ifdef WEIR_HAS_EMULATOR
        &weir_emu_backend,
#endif
    };
    for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
        if (strcmp(backends[i]->name, name) == 0) {
            return backends[i];
        }
    }
    return NULL;
}
