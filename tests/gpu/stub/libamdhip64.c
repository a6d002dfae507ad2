/* SPDX-License-Identifier: Apache-2.0 */
/* A libamdhip64.so.6 without a GPU: the runtime's functions over the emulator's device with waves
 * of 64, with faults on demand (fault.h). It lets the host code of the HIP backend run as it
 * stands. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "backends/hip/runtime.h"
#include "kernels/emu/emu.h"
#include "tests/gpu/stub/fault.h"

#define EXPORT __attribute__((visibility("default")))

enum { VERSION = 60300000, MEMORY_MB = 4096, WAVE_64 = 2, PROPERTIES_AT = 1160 };

static const struct weir_gpu_api *emu;
enum { DEVICES_MAX = 4 };

static void *contexts[DEVICES_MAX]; /* one per device, as the runtime has it */
static _Thread_local int current;   /* device */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int code_of(int rc)
{
    int fault = (int)fault_value("launch", 0);
    if (fault && fault_value("on", current) == current) {
        return fault;
    }
    switch (rc) {
    case 0: return HIP_SUCCESS;
    case WEIR_E_NOMEM: return HIP_ERROR_OUT_OF_MEMORY;
    case WEIR_E_ARG: return HIP_ERROR_INVALID_VALUE;
    case WEIR_E_NOTFOUND: return HIP_ERROR_NOT_FOUND;
    default: return 719;
    }
}

static int n_devices(void)
{
    return (int)fault_value("devices", 2);
}

#define FUNCTION(name, ...)                                                                        \
    EXPORT int name(__VA_ARGS__);                                                                  \
    int name(__VA_ARGS__)

EXPORT const char *hipGetErrorString(int error);
const char *hipGetErrorString(int error)
{
    return error == HIP_ERROR_OUT_OF_MEMORY ? "out of memory"
           : error == 719                   ? "unspecified launch failure"
                                            : "some error";
}
FUNCTION(hipInit, unsigned flags)
{
    emu = weir_emu_api();
    return flags == 0 ? (int)fault_value("init", 0) : HIP_ERROR_INVALID_VALUE;
}
FUNCTION(hipRuntimeGetVersion, int *version)
{
    *version = (int)fault_value("version", VERSION);
    return 0;
}
FUNCTION(hipGetDeviceCount, int *n)
{
    *n = n_devices();
    return 0;
}
FUNCTION(hipSetDevice, int device)
{
    int rc = 0;
    if (device < 0 || device >= n_devices()) {
        return HIP_ERROR_INVALID_VALUE;
    }
    (void)pthread_mutex_lock(&lock);
    if (!contexts[device]) {
        rc = emu->context_create(WAVE_64, &contexts[device]);
    }
    (void)pthread_mutex_unlock(&lock);
    current = device;
    return code_of(rc);
}
FUNCTION(hipGetDeviceProperties, void *properties, int device)
{
    (void)device;
    static const char arch[] = "gfx942:sramecc+:xnack-";
    memcpy((char *)properties + PROPERTIES_AT, arch, sizeof(arch));
    return 0;
}
FUNCTION(hipDeviceGetName, char *name, int n, int device)
{
    snprintf(name, (size_t)n, "Stub %d", device);
    return 0;
}
FUNCTION(hipDeviceGetPCIBusId, char *id, int n, int device)
{
    snprintf(id, (size_t)n, "0000:%02x:00.0", (unsigned)device);
    return 0;
}
FUNCTION(hipDeviceTotalMem, size_t *n_bytes, int device)
{
    (void)device;
    *n_bytes = (size_t)fault_value("memory", MEMORY_MB) << 20;
    return 0;
}
FUNCTION(hipMemGetInfo, size_t *n_free, size_t *n_total)
{
    *n_free = *n_total = (size_t)fault_value("memory", MEMORY_MB) << 20;
    return code_of(0);
}
FUNCTION(hipMalloc, void **memory, size_t n_bytes)
{
    int code = (int)fault_value("alloc", 0);
    return code ? code : code_of(emu->alloc(contexts[current], n_bytes, memory));
}
FUNCTION(hipFree, void *memory)
{
    emu->release(contexts[current], memory);
    return 0;
}
FUNCTION(hipHostMalloc, void **memory, size_t n_bytes, unsigned flags)
{
    (void)flags;
    return code_of(emu->host_alloc(contexts[current], n_bytes, memory));
}
FUNCTION(hipHostFree, void *memory)
{
    emu->host_release(contexts[current], memory);
    return 0;
}
FUNCTION(hipMemcpyHtoDAsync, void *to, void *from, size_t n_bytes, hip_stream stream)
{
    return code_of(emu->copy_to_device(stream, to, from, n_bytes));
}
FUNCTION(hipMemcpyDtoHAsync, void *to, void *from, size_t n_bytes, hip_stream stream)
{
    return code_of(emu->copy_to_host(stream, to, from, n_bytes));
}
FUNCTION(hipMemcpyDtoDAsync, void *to, void *from, size_t n_bytes, hip_stream stream)
{
    return code_of(emu->copy_on_device(stream, to, from, n_bytes));
}
FUNCTION(hipMemsetD8Async, void *to, unsigned char value, size_t n, hip_stream stream)
{
    return code_of(emu->fill(stream, to, value, n));
}
FUNCTION(hipStreamCreateWithFlags, hip_stream *stream, unsigned flags)
{
    (void)flags;
    return code_of(emu->stream_create(contexts[current], stream));
}
FUNCTION(hipStreamDestroy, hip_stream stream)
{
    emu->stream_destroy(stream);
    return 0;
}
FUNCTION(hipStreamSynchronize, hip_stream stream)
{
    return code_of(emu->stream_sync(stream));
}
FUNCTION(hipStreamWaitEvent, hip_stream stream, hip_event event, unsigned flags)
{
    (void)flags;
    return code_of(emu->stream_wait(stream, event));
}
FUNCTION(hipStreamBeginCapture, hip_stream stream, int mode)
{
    (void)mode;
    return code_of(emu->capture_begin(stream));
}
FUNCTION(hipStreamEndCapture, hip_stream stream, hip_graph *graph)
{
    return code_of(emu->capture_end(stream, graph));
}
FUNCTION(hipEventCreateWithFlags, hip_event *event, unsigned flags)
{
    (void)flags;
    return code_of(emu->event_create(contexts[current], event));
}
FUNCTION(hipEventDestroy, hip_event event)
{
    emu->event_destroy(event);
    return 0;
}
FUNCTION(hipEventRecord, hip_event event, hip_stream stream)
{
    return code_of(emu->event_record(event, stream));
}
FUNCTION(hipEventQuery, hip_event event)
{
    if (fault_value("hang", 0)) {
        return HIP_ERROR_NOT_READY;
    }
    int done = emu->event_done(event);
    return done == 0 ? HIP_ERROR_NOT_READY : code_of(done < 0 ? done : 0);
}
FUNCTION(hipEventSynchronize, hip_event event)
{
    return code_of(emu->event_sync(event));
}
FUNCTION(hipEventElapsedTime, float *ms, hip_event begin, hip_event end)
{
    return code_of(emu->event_elapsed_ms(begin, end, ms));
}
FUNCTION(hipModuleLoadData, hip_module *module, const void *image)
{
    return image ? code_of(emu->module_load(contexts[current], NULL, 0, module))
                 : HIP_ERROR_INVALID_VALUE;
}
FUNCTION(hipModuleUnload, hip_module module)
{
    emu->module_unload(module);
    return 0;
}
FUNCTION(hipModuleGetFunction, hip_function *function, hip_module module, const char *name)
{
    return code_of(emu->function_get(module, name, function));
}
/* NOLINTNEXTLINE(readability-function-size): the runtime's own parameters */
FUNCTION(hipModuleLaunchKernel, hip_function function, unsigned grid_x, unsigned grid_y,
         unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z,
         unsigned shared_bytes, hip_stream stream, void **params, void **extra)
{
    if (block_y != 1 || block_z != 1 || extra) {
        return HIP_ERROR_INVALID_VALUE;
    }
    const struct weir_emu_kernel *kernel = function; /* the emulator's functions are its kernels */
    const struct weir_gpu_launch launch = {
        .kernel = kernel->name,
        .grid = {grid_x, grid_y, grid_z},
        .block = block_x,
        .shared_bytes = shared_bytes,
        .args = params[0],
        .args_bytes = kernel->args_bytes,
    };
    return code_of(emu->launch(stream, function, &launch));
}
FUNCTION(hipGraphInstantiate, hip_graph_exec *exec, hip_graph graph, void *error_node, char *log,
         size_t n)
{
    (void)error_node;
    (void)log;
    (void)n;
    *exec = graph; /* the emulator's graphs are ready when they are captured */
    return 0;
}
FUNCTION(hipGraphLaunch, hip_graph_exec exec, hip_stream stream)
{
    return code_of(emu->graph_launch(stream, exec));
}
FUNCTION(hipGraphExecDestroy, hip_graph_exec exec)
{
    emu->graph_destroy(exec);
    return 0;
}
FUNCTION(hipGraphDestroy, hip_graph graph)
{
    (void)graph; /* its memory is the executable's */
    return 0;
}
