/* SPDX-License-Identifier: Apache-2.0 */
/* A libcuda.so.1 without a GPU: the driver's functions over the emulator, with faults on demand
 * (fault.h). It lets the host code of the CUDA backend run as it stands, symbol for symbol. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cuda/driver.h"
#include "kernels/emu/emu.h"
#include "tests/gpu/stub/fault.h"

#define EXPORT __attribute__((visibility("default")))

enum { N_SM = 8, SHARED_BYTES = 163 << 10, L2_BYTES = 50 << 20, VERSION = 13000, MEMORY_MB = 4096 };

static const struct weir_gpu_api *emu;
enum { DEVICES_MAX = 4 };

/* A CUcontext. */
struct context {
    void *emu;
    CUdevice device;
};

static _Thread_local struct context *current;
static atomic_int broken[DEVICES_MAX]; /* the sticky error, 0: none */
static atomic_llong n_allocated;

/* The devices' own contexts. */
static pthread_mutex_t primary_lock = PTHREAD_MUTEX_INITIALIZER;
static struct context *primary[DEVICES_MAX];
static int primary_refs[DEVICES_MAX];

static CUdevice here(void)
{
    return current ? current->device : 0;
}

static void *emu_context(void)
{
    return current ? current->emu : NULL;
}

static int start(void)
{
    emu = weir_emu_api();
    return (int)fault_value("init", 0);
}

static int code_of(int rc)
{
    int sticky = atomic_load(&broken[here()]);
    if (sticky) {
        return sticky;
    }
    switch (rc) {
    case 0: return CU_SUCCESS;
    case WEIR_E_NOMEM: return CU_ERROR_OUT_OF_MEMORY;
    case WEIR_E_ARG: return CU_ERROR_INVALID_VALUE;
    case WEIR_E_NOTFOUND: return CU_ERROR_NOT_FOUND;
    default: return 719;
    }
}

/* A kernel or graph is about to be launched. */
static int launch_fault(void)
{
    int code = (int)fault_value("launch", 0);
    if (code && fault_value("on", here()) == here()) {
        atomic_store(&broken[here()], code);
    }
    return atomic_load(&broken[here()]);
}

#define FUNCTION(name, ...)                                                                        \
    EXPORT int name(__VA_ARGS__);                                                                  \
    int name(__VA_ARGS__)

FUNCTION(cuInit, unsigned flags)
{
    return flags == 0 ? start() : CU_ERROR_INVALID_VALUE;
}
FUNCTION(cuDriverGetVersion, int *version)
{
    *version = (int)fault_value("version", VERSION);
    return 0;
}
FUNCTION(cuGetErrorString, int error, const char **text)
{
    *text = error == CU_ERROR_OUT_OF_MEMORY ? "out of memory"
            : error == 700                  ? "an illegal memory access was encountered"
            : error == 719                  ? "unspecified launch failure"
                                            : "some error";
    return 0;
}
FUNCTION(cuDeviceGetCount, int *n)
{
    *n = (int)fault_value("devices", 2);
    return 0;
}
FUNCTION(cuDeviceGet, CUdevice *device, int index)
{
    *device = index;
    return index < (int)fault_value("devices", 2) ? 0 : CU_ERROR_INVALID_VALUE;
}
FUNCTION(cuDeviceGetName, char *name, int n, CUdevice device)
{
    snprintf(name, (size_t)n, "Stub %d", device);
    return 0;
}
FUNCTION(cuDeviceGetUuid, CUuuid *uuid, CUdevice device)
{
    memset(uuid, 0, sizeof(*uuid));
    uuid->bytes[15] = (unsigned char)device;
    return 0;
}
FUNCTION(cuDeviceTotalMem_v2, size_t *n_bytes, CUdevice device)
{
    (void)device;
    *n_bytes = (size_t)fault_value("memory", MEMORY_MB) << 20;
    return 0;
}
FUNCTION(cuDeviceGetAttribute, int *value, int attribute, CUdevice device)
{
    (void)device;
    switch (attribute) {
    case CU_ATTRIBUTE_MULTIPROCESSORS: *value = N_SM; return 0;
    case CU_ATTRIBUTE_MAJOR: *value = (int)fault_value("major", 9); return 0;
    case CU_ATTRIBUTE_MINOR: *value = 0; return 0;
    case CU_ATTRIBUTE_SHARED_OPTIN: *value = SHARED_BYTES; return 0;
    case CU_ATTRIBUTE_L2_BYTES: *value = L2_BYTES; return 0;
    default: return CU_ERROR_INVALID_VALUE;
    }
}
static struct context *open_context(CUdevice device)
{
    struct context *c = calloc(1, sizeof(*c));
    if (c && emu->context_create(0, &c->emu) < 0) {
        free(c);
        return NULL;
    }
    if (c) {
        c->device = device;
    }
    return c;
}

static void close_context(struct context *c)
{
    if (c) {
        emu->context_destroy(c->emu);
    }
    free(c);
}

FUNCTION(cuCtxCreate_v2, CUcontext *context, unsigned flags, CUdevice device)
{
    (void)flags;
    current = open_context(device);
    *context = current;
    if (current) {
        atomic_store(&broken[device], 0); /* a fresh context is well again */
    }
    return current ? 0 : CU_ERROR_OUT_OF_MEMORY;
}
FUNCTION(cuCtxDestroy_v2, CUcontext context)
{
    current = current == context ? NULL : current;
    close_context(context);
    return 0;
}
/* Unlike a fresh context, one that others hold stays broken until it is reset. */
FUNCTION(cuDevicePrimaryCtxRetain, CUcontext *context, CUdevice device)
{
    (void)pthread_mutex_lock(&primary_lock);
    if (!primary[device]) {
        primary[device] = open_context(device);
    }
    primary_refs[device] += primary[device] != NULL;
    *context = primary[device];
    (void)pthread_mutex_unlock(&primary_lock);
    return *context ? 0 : CU_ERROR_OUT_OF_MEMORY;
}
FUNCTION(cuDevicePrimaryCtxRelease_v2, CUdevice device)
{
    (void)pthread_mutex_lock(&primary_lock);
    if (--primary_refs[device] == 0) {
        current = current == primary[device] ? NULL : current;
        close_context(primary[device]);
        primary[device] = NULL;
    }
    (void)pthread_mutex_unlock(&primary_lock);
    return 0;
}
FUNCTION(cuDevicePrimaryCtxReset_v2, CUdevice device)
{
    atomic_store(&broken[device], 0);
    return 0;
}
FUNCTION(cuCtxSetCurrent, CUcontext context)
{
    current = context;
    return code_of(context ? emu->context_use(emu_context()) : 0);
}
FUNCTION(cuMemGetInfo_v2, size_t *n_free, size_t *n_total)
{
    *n_total = (size_t)fault_value("memory", MEMORY_MB) << 20;
    size_t used = (size_t)atomic_load(&n_allocated);
    *n_free = *n_total > used ? *n_total - used : 0;
    return code_of(0);
}

/* In front of each allocation: how much memory it holds. */
enum { HEAD = 256 };

FUNCTION(cuMemAlloc_v2, CUdeviceptr *memory, size_t n_bytes)
{
    int code = (int)fault_value("alloc", 0);
    size_t total = (size_t)fault_value("memory", MEMORY_MB) << 20;
    if (code || (size_t)atomic_load(&n_allocated) + n_bytes > total) {
        return code ? code : CU_ERROR_OUT_OF_MEMORY;
    }
    void *p = NULL;
    code = code_of(emu->alloc(emu_context(), n_bytes + HEAD, &p));
    if (code == 0) {
        memcpy(p, &n_bytes, sizeof(n_bytes));
        atomic_fetch_add(&n_allocated, (long long)n_bytes);
        *memory = (CUdeviceptr)(uintptr_t)p + HEAD;
    }
    return code;
}
FUNCTION(cuMemFree_v2, CUdeviceptr memory)
{
    uint8_t *p = (uint8_t *)(uintptr_t)memory - HEAD;
    size_t n_bytes = 0;
    memcpy(&n_bytes, p, sizeof(n_bytes));
    atomic_fetch_sub(&n_allocated, (long long)n_bytes);
    emu->release(emu_context(), p);
    return 0;
}
FUNCTION(cuMemHostAlloc, void **memory, size_t n_bytes, unsigned flags)
{
    (void)flags;
    return code_of(emu->host_alloc(emu_context(), n_bytes, memory));
}
FUNCTION(cuMemFreeHost, void *memory)
{
    emu->host_release(emu_context(), memory);
    return 0;
}
FUNCTION(cuMemcpyHtoDAsync_v2, CUdeviceptr to, const void *from, size_t n_bytes, CUstream stream)
{
    return code_of(emu->copy_to_device(stream, (void *)(uintptr_t)to, from, n_bytes));
}
FUNCTION(cuMemcpyDtoHAsync_v2, void *to, CUdeviceptr from, size_t n_bytes, CUstream stream)
{
    return code_of(emu->copy_to_host(stream, to, (void *)(uintptr_t)from, n_bytes));
}
FUNCTION(cuMemcpyDtoDAsync_v2, CUdeviceptr to, CUdeviceptr from, size_t n_bytes, CUstream stream)
{
    return code_of(
        emu->copy_on_device(stream, (void *)(uintptr_t)to, (void *)(uintptr_t)from, n_bytes));
}
FUNCTION(cuMemsetD8Async, CUdeviceptr to, unsigned char value, size_t n, CUstream stream)
{
    return code_of(emu->fill(stream, (void *)(uintptr_t)to, value, n));
}
FUNCTION(cuStreamCreate, CUstream *stream, unsigned flags)
{
    (void)flags;
    return code_of(emu->stream_create(emu_context(), stream));
}
FUNCTION(cuStreamDestroy_v2, CUstream stream)
{
    emu->stream_destroy(stream);
    return 0;
}
FUNCTION(cuStreamSynchronize, CUstream stream)
{
    return code_of(emu->stream_sync(stream));
}
FUNCTION(cuStreamWaitEvent, CUstream stream, CUevent event, unsigned flags)
{
    (void)flags;
    return code_of(emu->stream_wait(stream, event));
}
FUNCTION(cuStreamBeginCapture_v2, CUstream stream, int mode)
{
    (void)mode;
    return code_of(emu->capture_begin(stream));
}
FUNCTION(cuStreamEndCapture, CUstream stream, CUgraph *graph)
{
    return code_of(emu->capture_end(stream, graph));
}
FUNCTION(cuEventCreate, CUevent *event, unsigned flags)
{
    (void)flags;
    return code_of(emu->event_create(emu_context(), event));
}
FUNCTION(cuEventDestroy_v2, CUevent event)
{
    emu->event_destroy(event);
    return 0;
}
FUNCTION(cuEventRecord, CUevent event, CUstream stream)
{
    return code_of(emu->event_record(event, stream));
}
FUNCTION(cuEventQuery, CUevent event)
{
    if (fault_value("hang", 0)) {
        return CU_ERROR_NOT_READY;
    }
    int done = emu->event_done(event);
    return done == 0 ? CU_ERROR_NOT_READY : code_of(done < 0 ? done : 0);
}
FUNCTION(cuEventSynchronize, CUevent event)
{
    return code_of(emu->event_sync(event));
}
FUNCTION(cuEventElapsedTime, float *ms, CUevent begin, CUevent end)
{
    return code_of(emu->event_elapsed_ms(begin, end, ms));
}
FUNCTION(cuModuleLoadData, CUmodule *module, const void *image)
{
    return image ? code_of(emu->module_load(emu_context(), NULL, 0, module))
                 : CU_ERROR_INVALID_VALUE;
}
FUNCTION(cuModuleUnload, CUmodule module)
{
    emu->module_unload(module);
    return 0;
}
FUNCTION(cuModuleGetFunction, CUfunction *function, CUmodule module, const char *name)
{
    return code_of(emu->function_get(module, name, function));
}
FUNCTION(cuFuncSetAttribute, CUfunction function, int attribute, int value)
{
    (void)function;
    return attribute == CU_FUNC_MAX_DYNAMIC_SHARED && value <= SHARED_BYTES
               ? 0
               : CU_ERROR_INVALID_VALUE;
}

/* NOLINTNEXTLINE(readability-function-size): the driver's own parameters */
FUNCTION(cuLaunchKernel, CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
         unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
         CUstream stream, void **params, void **extra)
{
    if (block_y != 1 || block_z != 1 || extra) {
        return CU_ERROR_INVALID_VALUE;
    }
    int code = launch_fault();
    const struct weir_emu_kernel *kernel = function; /* the emulator's functions are its kernels */
    const struct weir_gpu_launch launch = {
        .kernel = kernel->name,
        .grid = {grid_x, grid_y, grid_z},
        .block = block_x,
        .shared_bytes = shared_bytes,
        .args = params[0],
        .args_bytes = kernel->args_bytes,
    };
    return code ? code : code_of(emu->launch(stream, function, &launch));
}

FUNCTION(cuLaunchKernelEx, const CUlaunchConfig *config, CUfunction function, void **params,
         void **extra)
{
    if (config->n_attributes != 1 ||
        config->attributes[0].id != CU_LAUNCH_PROGRAMMATIC_STREAM_SERIALIZATION) {
        return CU_ERROR_INVALID_VALUE;
    }
    return cuLaunchKernel(function, config->grid_x, config->grid_y, config->grid_z, config->block_x,
                          config->block_y, config->block_z, config->shared_bytes, config->stream,
                          params, extra);
}
FUNCTION(cuGraphInstantiateWithFlags, CUgraphExec *exec, CUgraph graph, unsigned long long flags)
{
    (void)flags;
    *exec = graph; /* the emulator's graphs are ready when they are captured */
    return 0;
}
FUNCTION(cuGraphLaunch, CUgraphExec exec, CUstream stream)
{
    int code = launch_fault();
    return code ? code : code_of(emu->graph_launch(stream, exec));
}
FUNCTION(cuGraphExecDestroy, CUgraphExec exec)
{
    emu->graph_destroy(exec);
    return 0;
}
FUNCTION(cuGraphDestroy, CUgraph graph)
{
    (void)graph; /* its memory is the executable's */
    return 0;
}
