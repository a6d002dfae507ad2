/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/hip/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/gpu/nccl.h"
#include "backends/hip/runtime.h"

static const struct weir_hip_runtime *hip;

/* The calling thread's last failure. */
static _Thread_local struct {
    int code;
    char text[160];
} last;

static int to_rc(int code)
{
    switch (code) {
    case HIP_SUCCESS: return 0;
    case HIP_ERROR_INVALID_VALUE: return WEIR_E_ARG;
    case HIP_ERROR_OUT_OF_MEMORY: return WEIR_E_NOMEM;
    case HIP_ERROR_INVALID_IMAGE:
    case HIP_ERROR_NO_BINARY_FOR_GPU: return WEIR_E_UNSUPPORTED;
    case HIP_ERROR_NOT_FOUND: return WEIR_E_NOTFOUND;
    default: return WEIR_E_DEVICE;
    }
}

static int check(int code, const char *call)
{
    if (code != HIP_SUCCESS) {
        const char *text = hip->hipGetErrorString(code);
        last.code = code;
        snprintf(last.text, sizeof(last.text), "%s: %s (%d)", call, text ? text : "unknown error",
                 code);
    }
    return to_rc(code);
}

#define CALL(function, ...) check(hip->function(__VA_ARGS__), #function)

static const char *error_text(void)
{
    return last.text;
}

static int device_count(uint32_t *ret_n)
{
    int n = 0;
    int rc = CALL(hipGetDeviceCount, &n);
    *ret_n = rc < 0 || n < 0 ? 0 : (uint32_t)n;
    return rc;
}

/* What the code has to know of an architecture. The first whose name the device's properties hold.
 */
static const struct {
    const char *name;
    uint32_t arch, n_cu, l2_mb;
} archs[] = {
    {"gfx942", 0x942, 304, 4},
    {"gfx90a", 0x90a, 104, 8},
};

/* The architecture's name stands somewhere in hipDeviceProp_t, whose layout differs between
 * releases: "gfx90a:sramecc+:xnack-". */
static int find_arch(uint32_t device)
{
    enum { PROPERTIES_BYTES = 8192 }; /* more than any release fills */
    static _Thread_local char properties[PROPERTIES_BYTES];
    memset(properties, 0, sizeof(properties));
    if (CALL(hipGetDeviceProperties, properties, (int)device) < 0) {
        return -1;
    }
    for (size_t i = 0; i < sizeof(archs) / sizeof(archs[0]); i++) {
        if (memmem(properties, sizeof(properties), archs[i].name, strlen(archs[i].name))) {
            return (int)i;
        }
    }
    return -1;
}

static int device_info(uint32_t device, struct weir_gpu_device_info *ret_info)
{
    size_t memory = 0;
    *ret_info = (struct weir_gpu_device_info){0};
    int rc = CALL(hipDeviceGetName, ret_info->name, sizeof(ret_info->name), (int)device);
    rc = rc < 0 ? rc
                : CALL(hipDeviceGetPCIBusId, ret_info->uuid, sizeof(ret_info->uuid), (int)device);
    rc = rc < 0 ? rc : CALL(hipDeviceTotalMem, &memory, (int)device);
    if (rc < 0) {
        return rc;
    }
    int i = find_arch(device);
    ret_info->memory_bytes = memory;
    ret_info->props = (struct weir_gpu_props){
        .family = WEIR_GPU_CDNA,
        .arch = i < 0 ? 0 : archs[i].arch,
        .n_sm = i < 0 ? 0 : archs[i].n_cu,
        .lanes = 64,
        .shared_bytes = 64 << 10,
        .l2_bytes = i < 0 ? 0 : (uint64_t)archs[i].l2_mb << 20,
    };
    return 0;
}

/* The runtime has one context per device; a fault in it takes all that run there. */
struct context {
    int device;
};

static int context_create(uint32_t device, void **ret_context)
{
    struct context *c = calloc(1, sizeof(*c));
    if (!c) {
        snprintf(last.text, sizeof(last.text), "out of memory");
        return WEIR_E_NOMEM;
    }
    c->device = (int)device;
    int rc = CALL(hipSetDevice, c->device);
    if (rc < 0) {
        free(c);
        return rc;
    }
    *ret_context = c;
    return 0;
}

static void context_destroy(void *context)
{
    free(context);
}

static int context_use(void *context)
{
    return CALL(hipSetDevice, ((struct context *)context)->device);
}

static int memory_info(void *context, uint64_t *ret_free, uint64_t *ret_total)
{
    size_t n_free = 0;
    size_t n_total = 0;
    (void)context;
    int rc = CALL(hipMemGetInfo, &n_free, &n_total);
    *ret_free = n_free;
    *ret_total = n_total;
    return rc;
}

/* Errors behind which a process gets nothing else from a device. */
static int device_lost(void *context)
{
    (void)context;
    return last.code == HIP_ERROR_ECC || last.code == HIP_ERROR_UNKNOWN ||
           (last.code >= HIP_ERROR_ILLEGAL_ADDRESS && last.code <= HIP_ERROR_LAST_STICKY);
}

static int alloc(void *context, size_t n_bytes, void **ret_device)
{
    (void)context;
    return CALL(hipMalloc, ret_device, n_bytes);
}

static void release(void *context, void *device)
{
    (void)context;
    if (device) {
        hip->hipFree(device);
    }
}

static int host_alloc(void *context, size_t n_bytes, void **ret_host)
{
    (void)context;
    return CALL(hipHostMalloc, ret_host, n_bytes, 0);
}

static void host_release(void *context, void *host)
{
    (void)context;
    if (host) {
        hip->hipHostFree(host);
    }
}

static int stream_create(void *context, void **ret_stream)
{
    (void)context;
    return CALL(hipStreamCreateWithFlags, ret_stream, HIP_STREAM_NON_BLOCKING);
}

static void stream_destroy(void *stream)
{
    if (stream) {
        hip->hipStreamDestroy(stream);
    }
}

static int stream_sync(void *stream)
{
    return CALL(hipStreamSynchronize, stream);
}

static int copy_to_device(void *stream, void *device, const void *host, size_t n_bytes)
{
    return CALL(hipMemcpyHtoDAsync, device, (void *)(uintptr_t)host, n_bytes, stream);
}

static int copy_to_host(void *stream, void *host, const void *device, size_t n_bytes)
{
    return CALL(hipMemcpyDtoHAsync, host, (void *)(uintptr_t)device, n_bytes, stream);
}

static int copy_on_device(void *stream, void *to, const void *from, size_t n_bytes)
{
    return CALL(hipMemcpyDtoDAsync, to, (void *)(uintptr_t)from, n_bytes, stream);
}

static int fill(void *stream, void *device, uint8_t byte, size_t n_bytes)
{
    return CALL(hipMemsetD8Async, device, byte, n_bytes, stream);
}

static int event_create(void *context, void **ret_event)
{
    (void)context;
    return CALL(hipEventCreateWithFlags, ret_event, 0);
}

static void event_destroy(void *event)
{
    if (event) {
        hip->hipEventDestroy(event);
    }
}

static int event_record(void *event, void *stream)
{
    return CALL(hipEventRecord, event, stream);
}

static int event_sync(void *event)
{
    return CALL(hipEventSynchronize, event);
}

static int event_done(void *event)
{
    int code = hip->hipEventQuery(event);
    return code == HIP_ERROR_NOT_READY ? 0 : code == HIP_SUCCESS ? 1 : check(code, "hipEventQuery");
}

static int event_elapsed_ms(void *from, void *to, float *ret_ms)
{
    return CALL(hipEventElapsedTime, ret_ms, from, to);
}

static int stream_wait(void *stream, void *event)
{
    return CALL(hipStreamWaitEvent, stream, event, 0);
}

static int module_load(void *context, const void *image, size_t n_bytes, void **ret_module)
{
    (void)context;
    (void)n_bytes; /* the image says itself how long it is */
    return CALL(hipModuleLoadData, ret_module, image);
}

static void module_unload(void *module)
{
    if (module) {
        hip->hipModuleUnload(module);
    }
}

static int function_get(void *module, const char *name, void **ret_function)
{
    return CALL(hipModuleGetFunction, ret_function, module, name);
}

static int launch(void *stream, void *function, const struct weir_gpu_launch *l)
{
    void *params[] = {(void *)(uintptr_t)l->args};
    return CALL(hipModuleLaunchKernel, function, l->grid[0], l->grid[1], l->grid[2], l->block, 1, 1,
                l->shared_bytes, stream, params, NULL);
}

static int capture_begin(void *stream)
{
    return CALL(hipStreamBeginCapture, stream, HIP_CAPTURE_THREAD_LOCAL);
}

static int capture_end(void *stream, void **ret_graph)
{
    hip_graph graph = NULL;
    int rc = CALL(hipStreamEndCapture, stream, &graph);
    if (rc < 0) {
        return rc;
    }
    rc = CALL(hipGraphInstantiate, ret_graph, graph, NULL, NULL, 0);
    hip->hipGraphDestroy(graph);
    return rc;
}

static int graph_launch(void *stream, void *graph)
{
    return CALL(hipGraphLaunch, graph, stream);
}

static void graph_destroy(void *graph)
{
    if (graph) {
        hip->hipGraphExecDestroy(graph);
    }
}

static const struct weir_gpu_api api = {
    .name = "hip",
    .device_count = device_count,
    .device_info = device_info,
    .context_create = context_create,
    .context_share = context_create,
    .context_destroy = context_destroy,
    .context_use = context_use,
    .memory_info = memory_info,
    .device_lost = device_lost,
    .alloc = alloc,
    .release = release,
    .host_alloc = host_alloc,
    .host_release = host_release,
    .stream_create = stream_create,
    .stream_destroy = stream_destroy,
    .stream_sync = stream_sync,
    .copy_to_device = copy_to_device,
    .copy_to_host = copy_to_host,
    .copy_on_device = copy_on_device,
    .fill = fill,
    .event_create = event_create,
    .event_destroy = event_destroy,
    .event_record = event_record,
    .event_sync = event_sync,
    .event_done = event_done,
    .event_elapsed_ms = event_elapsed_ms,
    .stream_wait = stream_wait,
    .module_load = module_load,
    .module_unload = module_unload,
    .function_get = function_get,
    .launch = launch,
    .capture_begin = capture_begin,
    .capture_end = capture_end,
    .graph_launch = graph_launch,
    .graph_destroy = graph_destroy,
    .error_text = error_text,
};

const struct weir_gpu_api *weir_hip_api(struct weir_error *err)
{
    const struct weir_hip_runtime *runtime = weir_hip_runtime_open(err);
    if (!runtime) {
        return NULL;
    }
    hip = runtime; /* always the same */
    return &api;
}

const struct weir_gpu_collective *weir_hip_collective(struct weir_error *err)
{
    return weir_nccl_open("librccl.so.1", err);
}
