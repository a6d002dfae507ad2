/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What differs between the GPU backends: the driver, its code objects, the management library.
 * Everything else in this folder is the same for cuda, hip and the emulator.
 * Ownership: static. Threads: any; open() from one at a time. */
#include "backends/gpu/health.h"
#include "base/error.h"
#include "kernels/gpu_api.h"
#include "kernels/gpu_collective.h"
#include "kernels/images/images.h"

struct weir_gpu_backend {
    const char *name; /* "cuda"; also the plugin's */
    /* The driver; NULL and one clear sentence where there is none. */
    const struct weir_gpu_api *(*open)(struct weir_error *err);
    /* Sums over devices; NULL and one clear sentence where they cannot share a model. */
    const struct weir_gpu_collective *(*collective)(struct weir_error *err);
    const struct weir_gpu_monitor_api *monitor; /* NULL: none */
    uint32_t score;                             /* of a device that can run here, see weir_device */
    /* The code objects of this build; NULL: the program itself holds the kernels (emulator). */
    const struct weir_gpu_image *images;
    const size_t *n_images;
};
