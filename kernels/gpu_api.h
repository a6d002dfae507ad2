/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A GPU driver as a table of functions: CUDA's driver API, HIP's module API, or the emulator.
 *
 * Why: the host code above it (backends/gpu/, tests/kernels/) is the same for all three, and a
 * faulty driver in tests is one more table.
 * Handles are the driver's own, as void *. Device memory is a void * that the host never follows.
 * Ownership: whoever creates destroys; destroy and release functions take NULL.
 * Threads: a context is used by one thread at a time, which has made it current (context_use).
 * Errors: 0 or a negative WEIR_E_*; error_text() explains the calling thread's last one. A failed
 * kernel shows at the next call that waits (stream_sync, event_sync); device_lost tells whether the
 * context is beyond use. */
#include <stddef.h>
#include <stdint.h>

#include "kernels/gpu_launch.h"

struct weir_gpu_device_info {
    struct weir_gpu_props props;
    uint64_t memory_bytes;
    char name[96], uuid[48];
};

struct weir_gpu_api {
    const char *name; /* "cuda", "hip", "emu" */

    int (*device_count)(uint32_t *ret_n);
    int (*device_info)(uint32_t device, struct weir_gpu_device_info *ret_info);

    int (*context_create)(uint32_t device, void **ret_context); /* also makes it current */
    /* The device's own one, which other libraries of the process use too: NCCL needs it. */
    int (*context_share)(uint32_t device, void **ret_context);
    void (*context_destroy)(void *context);
    int (*context_use)(void *context);
    int (*memory_info)(void *context, uint64_t *ret_free, uint64_t *ret_total);
    int (*device_lost)(void *context); /* 1: it is */

    int (*alloc)(void *context, size_t n_bytes, void **ret_device); /* 256-byte aligned */
    void (*release)(void *context, void *device);
    int (*host_alloc)(void *context, size_t n_bytes, void **ret_host); /* pinned */
    void (*host_release)(void *context, void *host);

    int (*stream_create)(void *context, void **ret_stream);
    void (*stream_destroy)(void *stream);
    int (*stream_sync)(void *stream);
    /* In the order of the stream; host memory must be pinned and stay until they are done. */
    int (*copy_to_device)(void *stream, void *device, const void *host, size_t n_bytes);
    int (*copy_to_host)(void *stream, void *host, const void *device, size_t n_bytes);
    int (*copy_on_device)(void *stream, void *to, const void *from, size_t n_bytes);
    int (*fill)(void *stream, void *device, uint8_t byte, size_t n_bytes);

    int (*event_create)(void *context, void **ret_event);
    void (*event_destroy)(void *event);
    int (*event_record)(void *event, void *stream);
    int (*event_sync)(void *event);
    int (*event_done)(void *event); /* 1: reached, 0: not yet */
    int (*event_elapsed_ms)(void *from, void *to, float *ret_ms);
    int (*stream_wait)(void *stream, void *event);

    /* `image` is one code object of the device's arch; the emulator takes NULL, all its kernels are
     * in the program. */
    int (*module_load)(void *context, const void *image, size_t n_bytes, void **ret_module);
    void (*module_unload)(void *module);
    /* WEIR_E_NOTFOUND: no such kernel in it. Allows it all the shared memory of the device. */
    int (*function_get)(void *module, const char *name, void **ret_function);
    int (*launch)(void *stream, void *function, const struct weir_gpu_launch *launch);

    int (*capture_begin)(void *stream);
    int (*capture_end)(void *stream, void **ret_graph); /* instantiated, ready to launch */
    int (*graph_launch)(void *stream, void *graph);
    void (*graph_destroy)(void *graph);

    const char *(*error_text)(void);
};
