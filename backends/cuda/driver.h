/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The part of the CUDA driver API that weir calls, found in libcuda.so.1 at run time.
 *
 * Why: the same binary has to run where no driver is. The driver's ABI is fixed, so the prototypes
 * are stated here and no CUDA header is needed to build.
 * Ownership: the library stays open until the process ends, as the driver keeps threads of its own.
 * Threads: open() from one at a time. Errors: open() says in one sentence what is missing. */
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

typedef int CUdevice;
typedef void *CUcontext;
typedef void *CUmodule;
typedef void *CUfunction;
typedef void *CUstream;
typedef void *CUevent;
typedef void *CUgraph;
typedef void *CUgraphExec;
typedef unsigned long long CUdeviceptr;
typedef struct CUuuid {
    unsigned char bytes[16];
} CUuuid;

typedef struct CUlaunchAttribute {
    int id;
    int padding;
    union {
        char bytes[64];
        int is_allowed; /* programmatic stream serialisation */
    } value;
} CUlaunchAttribute;
typedef struct CUlaunchConfig {
    unsigned grid_x, grid_y, grid_z, block_x, block_y, block_z;
    unsigned shared_bytes;
    CUstream stream;
    CUlaunchAttribute *attributes;
    unsigned n_attributes;
} CUlaunchConfig;

enum {
    CU_SUCCESS = 0,
    CU_ERROR_INVALID_VALUE = 1,
    CU_ERROR_OUT_OF_MEMORY = 2,
    CU_ERROR_NO_DEVICE = 100,
    CU_ERROR_DEVICES_UNAVAILABLE = 46,
    CU_ERROR_NO_BINARY_FOR_GPU = 209,
    CU_ERROR_ECC_UNCORRECTABLE = 214,
    CU_ERROR_UNSUPPORTED_PTX = 222,
    CU_ERROR_NOT_FOUND = 500,
    CU_ERROR_NOT_READY = 600,
    CU_ERROR_ILLEGAL_ADDRESS = 700,
    CU_ERROR_LAST_STICKY = 721, /* launch timeout, bad instruction, failed launch ... */
    CU_ERROR_SYSTEM_DRIVER_MISMATCH = 803,
    CU_ERROR_UNKNOWN = 999,

    CU_ATTRIBUTE_MULTIPROCESSORS = 16,
    CU_ATTRIBUTE_L2_BYTES = 38,
    CU_ATTRIBUTE_MAJOR = 75,
    CU_ATTRIBUTE_MINOR = 76,
    CU_ATTRIBUTE_SHARED_OPTIN = 97,

    CU_FUNC_MAX_DYNAMIC_SHARED = 8,
    CU_STREAM_NON_BLOCKING = 1,
    CU_EVENT_DEFAULT = 0,
    CU_CAPTURE_THREAD_LOCAL = 1,
    CU_CTX_SCHED_SPIN = 1,
    CU_LAUNCH_PROGRAMMATIC_STREAM_SERIALIZATION = 6,

    /* From here on streams with kernels that start early can be captured. */
    WEIR_CUDA_VERSION_EARLY = 12030,

    /* The driver that CUDA 12.0 asks for: 525. */
    WEIR_CUDA_VERSION_MIN = 12000
};

/* name, result, parameters; the first NAME is the symbol as the driver exports it. */
#define WEIR_CUDA_SYMBOLS(X)                                                                       \
    X(cuInit, (unsigned flags))                                                                    \
    X(cuDriverGetVersion, (int *version))                                                          \
    X(cuGetErrorString, (int error, const char **text))                                            \
    X(cuDeviceGetCount, (int *n))                                                                  \
    X(cuDeviceGet, (CUdevice * device, int index))                                                 \
    X(cuDeviceGetName, (char *name, int n, CUdevice device))                                       \
    X(cuDeviceGetUuid, (CUuuid * uuid, CUdevice device))                                           \
    X(cuDeviceTotalMem_v2, (size_t * n_bytes, CUdevice device))                                    \
    X(cuDeviceGetAttribute, (int *value, int attribute, CUdevice device))                          \
    X(cuCtxCreate_v2, (CUcontext * context, unsigned flags, CUdevice device))                      \
    X(cuCtxDestroy_v2, (CUcontext context))                                                        \
    X(cuDevicePrimaryCtxRetain, (CUcontext * context, CUdevice device))                            \
    X(cuDevicePrimaryCtxRelease_v2, (CUdevice device))                                             \
    X(cuDevicePrimaryCtxReset_v2, (CUdevice device))                                               \
    X(cuCtxSetCurrent, (CUcontext context))                                                        \
    X(cuMemGetInfo_v2, (size_t * n_free, size_t * n_total))                                        \
    X(cuMemAlloc_v2, (CUdeviceptr * memory, size_t n_bytes))                                       \
    X(cuMemFree_v2, (CUdeviceptr memory))                                                          \
    X(cuMemHostAlloc, (void **memory, size_t n_bytes, unsigned flags))                             \
    X(cuMemFreeHost, (void *memory))                                                               \
    X(cuMemcpyHtoDAsync_v2, (CUdeviceptr to, const void *from, size_t n_bytes, CUstream stream))   \
    X(cuMemcpyDtoHAsync_v2, (void *to, CUdeviceptr from, size_t n_bytes, CUstream stream))         \
    X(cuMemcpyDtoDAsync_v2, (CUdeviceptr to, CUdeviceptr from, size_t n_bytes, CUstream stream))   \
    X(cuMemsetD8Async, (CUdeviceptr to, unsigned char value, size_t n, CUstream stream))           \
    X(cuStreamCreate, (CUstream * stream, unsigned flags))                                         \
    X(cuStreamDestroy_v2, (CUstream stream))                                                       \
    X(cuStreamSynchronize, (CUstream stream))                                                      \
    X(cuStreamWaitEvent, (CUstream stream, CUevent event, unsigned flags))                         \
    X(cuStreamBeginCapture_v2, (CUstream stream, int mode))                                        \
    X(cuStreamEndCapture, (CUstream stream, CUgraph * graph))                                      \
    X(cuEventCreate, (CUevent * event, unsigned flags))                                            \
    X(cuEventDestroy_v2, (CUevent event))                                                          \
    X(cuEventRecord, (CUevent event, CUstream stream))                                             \
    X(cuEventQuery, (CUevent event))                                                               \
    X(cuEventSynchronize, (CUevent event))                                                         \
    X(cuEventElapsedTime, (float *ms, CUevent begin, CUevent end))                                 \
    X(cuModuleLoadData, (CUmodule * module, const void *image))                                    \
    X(cuModuleUnload, (CUmodule module))                                                           \
    X(cuModuleGetFunction, (CUfunction * function, CUmodule module, const char *name))             \
    X(cuFuncSetAttribute, (CUfunction function, int attribute, int value))                         \
    X(cuLaunchKernel, (CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,     \
                       unsigned block_x, unsigned block_y, unsigned block_z,                       \
                       unsigned shared_bytes, CUstream stream, void **params, void **extra))       \
    X(cuLaunchKernelEx,                                                                            \
      (const CUlaunchConfig *config, CUfunction function, void **params, void **extra))            \
    X(cuGraphInstantiateWithFlags, (CUgraphExec * exec, CUgraph graph, unsigned long long flags))  \
    X(cuGraphLaunch, (CUgraphExec exec, CUstream stream))                                          \
    X(cuGraphExecDestroy, (CUgraphExec exec))                                                      \
    X(cuGraphDestroy, (CUgraph graph))

struct weir_cuda_driver {
/* NOLINTNEXTLINE(bugprone-macro-parentheses): a declaration's name and parameters take none */
#define X(name, parameters) int(*name) parameters;
    WEIR_CUDA_SYMBOLS(X)
#undef X
    int version; /* 12040: CUDA 12.4 */
};

/* Opens the driver and starts it; NULL and the sentence when that cannot be. Later calls give the
 * same driver. */
const struct weir_cuda_driver *weir_cuda_driver_open(struct weir_error *err);
