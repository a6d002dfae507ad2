/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A device in use by one model: context, stream, the kernels' code.
 *
 * Why: each model has a context of its own, so that a fault in one leaves the others alone and
 * unload gives everything back at once. A model on several devices shares the devices' own ones
 * with others of its kind.
 * Ownership: open() to close(). Threads: the model's thread, after use().
 * Errors: with a sentence that says what an operator can do. */
#include <stdbool.h>

#include "backends/gpu/backend.h"

enum { WEIR_GPU_FUNCTIONS_MAX = 512, WEIR_GPU_MODULES_MAX = 64 };

struct weir_gpu_device {
    const struct weir_gpu_backend *backend;
    const struct weir_gpu_api *api;
    struct weir_gpu_device_info info;
    uint32_t index;
    void *context, *stream;
    void *modules[WEIR_GPU_MODULES_MAX];
    uint32_t n_modules;
    /* Kernels that were asked for; names are compared by address first, as ops give literals. */
    struct {
        const char *name;
        void *function;
    } functions[WEIR_GPU_FUNCTIONS_MAX];
    uint32_t n_functions;
};

/* is_shared: in the context that other libraries of the process use too. */
WEIR_NODISCARD int weir_gpu_device_open(struct weir_gpu_device *d,
                                        const struct weir_gpu_backend *backend, uint32_t index,
                                        bool is_shared, struct weir_error *err);
void weir_gpu_device_close(struct weir_gpu_device *d); /* copes with a zeroed device */
WEIR_NODISCARD int weir_gpu_device_use(struct weir_gpu_device *d);

/* Puts a kernel behind what the stream has. */
WEIR_NODISCARD int weir_gpu_device_launch(struct weir_gpu_device *d,
                                          const struct weir_gpu_launch *launch);

/* Why the device cannot run models: no code for its architecture, too old; 0 when it can. */
int weir_gpu_device_check(const struct weir_gpu_backend *backend,
                          const struct weir_gpu_device_info *info, struct weir_error *err);

/* `rc` with the driver's words. */
int weir_gpu_error(const struct weir_gpu_device *d, int rc, const char *what,
                   struct weir_error *err);
