/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/gpu/code.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool has_arch(const struct weir_gpu_backend *backend, const char *arch)
{
    for (size_t i = 0; i < *backend->n_images; i++) {
        if (strcmp(backend->images[i].arch, arch) == 0) {
            return true;
        }
    }
    return false;
}

static bool find_nv(const struct weir_gpu_backend *backend, uint32_t arch, char *out)
{
    snprintf(out, WEIR_GPU_ARCH_BYTES, "sm_%ua", arch);
    if (has_arch(backend, out)) {
        return true;
    }
    for (uint32_t minor = arch % 10 + 1; minor > 0; minor--) {
        snprintf(out, WEIR_GPU_ARCH_BYTES, "sm_%u", arch / 10 * 10 + minor - 1);
        if (has_arch(backend, out)) {
            return true;
        }
    }
    snprintf(out, WEIR_GPU_ARCH_BYTES, "sm_%u", arch);
    return false;
}

int weir_gpu_code_find(const struct weir_gpu_backend *backend, const struct weir_gpu_props *props,
                       char ret_arch[WEIR_GPU_ARCH_BYTES], struct weir_error *err)
{
    bool found = false;
    if (props->arch == 0) {
        return weir_error_set(err, WEIR_E_UNSUPPORTED, "weir has no kernels for its architecture");
    }
    if (props->family == WEIR_GPU_NV) {
        found = find_nv(backend, props->arch, ret_arch);
    } else {
        snprintf(ret_arch, WEIR_GPU_ARCH_BYTES, "gfx%x", props->arch);
        found = has_arch(backend, ret_arch);
    }
    return found ? 0
                 : weir_error_set(err, WEIR_E_UNSUPPORTED, "this build has no kernels for %s",
                                  ret_arch);
}
