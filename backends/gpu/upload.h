/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Brings bytes to the device through two pinned buffers: one is filled while the other is on its
 * way.
 *
 * Ownership: open() to close(); the device is borrowed. Threads: the model's.
 * Errors: the driver's. */
#include <stdbool.h>

#include "backends/gpu/device.h"

enum { WEIR_GPU_SLICE_BYTES = 32 << 20 };

struct weir_gpu_upload {
    struct weir_gpu_device *device;
    struct {
        void *host, *event;
        bool is_busy;
    } slots[2];
    uint32_t next;
};

WEIR_NODISCARD int weir_gpu_upload_open(struct weir_gpu_upload *u, struct weir_gpu_device *d);
void weir_gpu_upload_close(struct weir_gpu_upload *u); /* copes with a zeroed one */
/* Memory of WEIR_GPU_SLICE_BYTES to fill. */
WEIR_NODISCARD int weir_gpu_upload_begin(struct weir_gpu_upload *u, void **ret_host);
/* Sends its first n_bytes. */
WEIR_NODISCARD int weir_gpu_upload_end(struct weir_gpu_upload *u, void *to, size_t n_bytes);
/* Waits until everything has arrived. */
WEIR_NODISCARD int weir_gpu_upload_flush(struct weir_gpu_upload *u);
/* All of it, cut into slices. */
WEIR_NODISCARD int weir_gpu_upload_bytes(struct weir_gpu_upload *u, void *to, const void *from,
                                         size_t n_bytes);
