/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The part of the HIP runtime (module API) that weir calls, found in libamdhip64.so at run time.
 *
 * Why: as for CUDA (backends/cuda/driver.h). hipDeviceProp_t changed its layout between releases,
 * so that devices are described by attributes and names only. Ownership: the library stays open
 * until the process ends. Threads: open() from one at a time. Errors: open() says in one sentence
 * what is missing. */
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

typedef void *hip_stream;
typedef void *hip_event;
typedef void *hip_module;
typedef void *hip_function;
typedef void *hip_graph;
typedef void *hip_graph_exec;

enum {
    HIP_SUCCESS = 0,
    HIP_ERROR_INVALID_VALUE = 1,
    HIP_ERROR_OUT_OF_MEMORY = 2,
    HIP_ERROR_NO_DEVICE = 100,
    HIP_ERROR_INVALID_IMAGE = 200,
    HIP_ERROR_NO_BINARY_FOR_GPU = 209,
    HIP_ERROR_ECC = 214,
    HIP_ERROR_NOT_FOUND = 500,
    HIP_ERROR_NOT_READY = 600,
    HIP_ERROR_ILLEGAL_ADDRESS = 700,
    HIP_ERROR_LAST_STICKY = 720,
    HIP_ERROR_UNKNOWN = 999,

    HIP_STREAM_NON_BLOCKING = 1,
    HIP_CAPTURE_THREAD_LOCAL = 1,

    /* ROCm 5.2, the oldest whose headers the code was built with. */
    WEIR_HIP_VERSION_MIN = 50200000
};

/* The name is the symbol as the library exports it. Attributes have other numbers in other
 * releases, so none is asked for: what is needed to know of a device follows from its architecture.
 */
#define WEIR_HIP_SYMBOLS(X)                                                                        \
    X(hipInit, (unsigned flags))                                                                   \
    X(hipRuntimeGetVersion, (int *version))                                                        \
    X(hipGetDeviceCount, (int *n))                                                                 \
    X(hipSetDevice, (int device))                                                                  \
    X(hipGetDeviceProperties, (void *properties, int device))                                      \
    X(hipDeviceGetName, (char *name, int n, int device))                                           \
    X(hipDeviceGetPCIBusId, (char *id, int n, int device))                                         \
    X(hipDeviceTotalMem, (size_t * n_bytes, int device))                                           \
    X(hipMemGetInfo, (size_t * n_free, size_t * n_total))                                          \
    X(hipMalloc, (void **memory, size_t n_bytes))                                                  \
    X(hipFree, (void *memory))                                                                     \
    X(hipHostMalloc, (void **memory, size_t n_bytes, unsigned flags))                              \
    X(hipHostFree, (void *memory))                                                                 \
    X(hipMemcpyHtoDAsync, (void *to, void *from, size_t n_bytes, hip_stream stream))               \
    X(hipMemcpyDtoHAsync, (void *to, void *from, size_t n_bytes, hip_stream stream))               \
    X(hipMemcpyDtoDAsync, (void *to, void *from, size_t n_bytes, hip_stream stream))               \
    X(hipMemsetD8Async, (void *to, unsigned char value, size_t n, hip_stream stream))              \
    X(hipStreamCreateWithFlags, (hip_stream * stream, unsigned flags))                             \
    X(hipStreamDestroy, (hip_stream stream))                                                       \
    X(hipStreamSynchronize, (hip_stream stream))                                                   \
    X(hipStreamWaitEvent, (hip_stream stream, hip_event event, unsigned flags))                    \
    X(hipStreamBeginCapture, (hip_stream stream, int mode))                                        \
    X(hipStreamEndCapture, (hip_stream stream, hip_graph * graph))                                 \
    X(hipEventCreateWithFlags, (hip_event * event, unsigned flags))                                \
    X(hipEventDestroy, (hip_event event))                                                          \
    X(hipEventRecord, (hip_event event, hip_stream stream))                                        \
    X(hipEventQuery, (hip_event event))                                                            \
    X(hipEventSynchronize, (hip_event event))                                                      \
    X(hipEventElapsedTime, (float *ms, hip_event begin, hip_event end))                            \
    X(hipModuleLoadData, (hip_module * module, const void *image))                                 \
    X(hipModuleUnload, (hip_module module))                                                        \
    X(hipModuleGetFunction, (hip_function * function, hip_module module, const char *name))        \
    X(hipModuleLaunchKernel,                                                                       \
      (hip_function function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, \
       unsigned block_y, unsigned block_z, unsigned shared_bytes, hip_stream stream,               \
       void **params, void **extra))                                                               \
    X(hipGraphInstantiate,                                                                         \
      (hip_graph_exec * exec, hip_graph graph, void *error_node, char *log, size_t n))             \
    X(hipGraphLaunch, (hip_graph_exec exec, hip_stream stream))                                    \
    X(hipGraphExecDestroy, (hip_graph_exec exec))                                                  \
    X(hipGraphDestroy, (hip_graph graph))

struct weir_hip_runtime {
/* NOLINTNEXTLINE(bugprone-macro-parentheses): a declaration's name and parameters take none */
#define X(name, parameters) int(*name) parameters;
    WEIR_HIP_SYMBOLS(X)
#undef X
    const char *(*hipGetErrorString)(int error);
    int version;
};

/* Opens the runtime and starts it; NULL and the sentence when that cannot be. Later calls give the
 * same one. */
const struct weir_hip_runtime *weir_hip_runtime_open(struct weir_error *err);
