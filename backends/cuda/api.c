/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cuda/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cuda/driver.h"
#include "backends/gpu/nccl.h"

static const struct weir_cuda_driver *cu;

/* The calling thread's last failure. */
static _Thread_local struct {
    int code;
    char text[160];
} last;

static int to_rc(int code)
{
    switch (code) {
    case CU_SUCCESS: return 0;
    case CU_ERROR_INVALID_VALUE: return WEIR_E_ARG;
    case CU_ERROR_OUT_OF_MEMORY: return WEIR_E_NOMEM;
    case CU_ERROR_NO_BINARY_FOR_GPU:
    case CU_ERROR_UNSUPPORTED_PTX: return WEIR_E_UNSUPPORTED;
    case CU_ERROR_NOT_FOUND: return WEIR_E_NOTFOUND;
    default: return WEIR_E_DEVICE;
    }
}

static int check(int code, const char *call)
{
    if (code != CU_SUCCESS) {
        const char *text = NULL;
        cu->cuGetErrorString(code, &text);
        last.code = code;
        snprintf(last.text, sizeof(last.text), "%s: %s (%d)", call, text ? text : "unknown error",
                 code);
    }
    return to_rc(code);
}

#define CALL(function, ...) check(cu->function(__VA_ARGS__), #function)

static const char *error_text(void)
{
    return last.text;
}

static int device_count(uint32_t *ret_n)
{
    int n = 0;
    int rc = CALL(cuDeviceGetCount, &n);
    *ret_n = rc < 0 || n < 0 ? 0 : (uint32_t)n;
    return rc;
}

static int attribute(CUdevice device, int which, int *ret_value)
{
    return CALL(cuDeviceGetAttribute, ret_value, which, device);
}

static void write_uuid(const CUuuid *uuid, char *out, size_t n)
{
    const unsigned char *b = uuid->bytes;
    snprintf(out, n, "GPU-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
             b[14], b[15]);
}

static int device_info(uint32_t device, struct weir_gpu_device_info *ret_info)
{
    CUdevice handle = 0;
    CUuuid uuid = {{0}};
    size_t memory = 0;
    int n_sm = 0;
    int major = 0;
    int minor = 0;
    int shared = 0;
    int l2 = 0;
    *ret_info = (struct weir_gpu_device_info){0};
    int rc = CALL(cuDeviceGet, &handle, (int)device);
    rc = rc < 0 ? rc : CALL(cuDeviceGetName, ret_info->name, sizeof(ret_info->name), handle);
    rc = rc < 0 ? rc : CALL(cuDeviceGetUuid, &uuid, handle);
    rc = rc < 0 ? rc : CALL(cuDeviceTotalMem_v2, &memory, handle);
    rc = rc < 0 ? rc : attribute(handle, CU_ATTRIBUTE_MULTIPROCESSORS, &n_sm);
    rc = rc < 0 ? rc : attribute(handle, CU_ATTRIBUTE_MAJOR, &major);
    rc = rc < 0 ? rc : attribute(handle, CU_ATTRIBUTE_MINOR, &minor);
    rc = rc < 0 ? rc : attribute(handle, CU_ATTRIBUTE_SHARED_OPTIN, &shared);
    rc = rc < 0 ? rc : attribute(handle, CU_ATTRIBUTE_L2_BYTES, &l2);
    if (rc < 0) {
        return rc;
    }
    write_uuid(&uuid, ret_info->uuid, sizeof(ret_info->uuid));
    ret_info->memory_bytes = memory;
    ret_info->props = (struct weir_gpu_props){
        .family = WEIR_GPU_NV,
        .arch = (uint32_t)(major * 10 + minor),
        .n_sm = (uint32_t)n_sm,
        .lanes = 32,
        .shared_bytes = (uint32_t)shared,
        .l2_bytes = (uint64_t)l2,
    };
    return 0;
}

struct context {
    CUcontext handle;
    CUdevice device;
    int is_shared;
    int shared_bytes; /* of memory, that a function may use */
};

static int open_context(uint32_t device, struct context *c)
{
    int rc = CALL(cuDeviceGet, &c->device, (int)device);
    rc = rc < 0 ? rc : attribute(c->device, CU_ATTRIBUTE_SHARED_OPTIN, &c->shared_bytes);
    if (rc < 0 || !c->is_shared) {
        /* A context of its own for each model: a fault in one leaves the others as they are. */
        return rc < 0 ? rc : CALL(cuCtxCreate_v2, &c->handle, CU_CTX_SCHED_SPIN, c->device);
    }
    rc = CALL(cuDevicePrimaryCtxRetain, &c->handle, c->device);
    if (rc >= 0 && CALL(cuCtxSetCurrent, c->handle) < 0) {
        cu->cuDevicePrimaryCtxRelease_v2(c->device);
        rc = WEIR_E_DEVICE;
    }
    return rc;
}

static int create_context(uint32_t device, int is_shared, void **ret_context)
{
    struct context *c = calloc(1, sizeof(*c));
    if (!c) {
        snprintf(last.text, sizeof(last.text), "out of memory");
        return WEIR_E_NOMEM;
    }
    c->is_shared = is_shared;
    int rc = open_context(device, c);
    if (rc < 0) {
        free(c);
        return rc;
    }
    *ret_context = c;
    return 0;
}

static int context_create(uint32_t device, void **ret_context)
{
    return create_context(device, 0, ret_context);
}

static int context_share(uint32_t device, void **ret_context)
{
    return create_context(device, 1, ret_context);
}

/* A broken one stays broken for all who share it, unless it is reset. */
static void release_shared(const struct context *c)
{
    size_t n_free = 0;
    size_t n_total = 0;
    if (cu->cuCtxSetCurrent(c->handle) != CU_SUCCESS ||
        cu->cuMemGetInfo_v2(&n_free, &n_total) != CU_SUCCESS) {
        cu->cuDevicePrimaryCtxReset_v2(c->device);
    }
    cu->cuDevicePrimaryCtxRelease_v2(c->device);
}

static void context_destroy(void *context)
{
    struct context *c = context;
    if (c && c->is_shared) {
        release_shared(c);
    } else if (c) {
        cu->cuCtxDestroy_v2(c->handle);
    }
    free(c);
}

static int context_use(void *context)
{
    return CALL(cuCtxSetCurrent, ((struct context *)context)->handle);
}

static int memory_info(void *context, uint64_t *ret_free, uint64_t *ret_total)
{
    size_t n_free = 0;
    size_t n_total = 0;
    (void)context;
    int rc = CALL(cuMemGetInfo_v2, &n_free, &n_total);
    *ret_free = n_free;
    *ret_total = n_total;
    return rc;
}

/* Errors behind which a context answers nothing else. */
static int device_lost(void *context)
{
    (void)context;
    return last.code == CU_ERROR_DEVICES_UNAVAILABLE || last.code == CU_ERROR_ECC_UNCORRECTABLE ||
           (last.code >= CU_ERROR_ILLEGAL_ADDRESS && last.code <= CU_ERROR_LAST_STICKY) ||
           last.code == CU_ERROR_UNKNOWN;
}

static int alloc(void *context, size_t n_bytes, void **ret_device)
{
    CUdeviceptr memory = 0;
    (void)context;
    int rc = CALL(cuMemAlloc_v2, &memory, n_bytes);
    *ret_device = rc < 0 ? NULL : (void *)(uintptr_t)memory;
    return rc;
}

static CUdeviceptr address(const void *device)
{
    return (CUdeviceptr)(uintptr_t)device;
}

static void release(void *context, void *device)
{
    (void)context;
    if (device) {
        cu->cuMemFree_v2(address(device));
    }
}

static int host_alloc(void *context, size_t n_bytes, void **ret_host)
{
    (void)context;
    return CALL(cuMemHostAlloc, ret_host, n_bytes, 0);
}

static void host_release(void *context, void *host)
{
    (void)context;
    if (host) {
        cu->cuMemFreeHost(host);
    }
}

static int stream_create(void *context, void **ret_stream)
{
    (void)context;
    return CALL(cuStreamCreate, ret_stream, CU_STREAM_NON_BLOCKING);
}

static void stream_destroy(void *stream)
{
    if (stream) {
        cu->cuStreamDestroy_v2(stream);
    }
}

static int stream_sync(void *stream)
{
    return CALL(cuStreamSynchronize, stream);
}

static int copy_to_device(void *stream, void *device, const void *host, size_t n_bytes)
{
    return CALL(cuMemcpyHtoDAsync_v2, address(device), host, n_bytes, stream);
}

static int copy_to_host(void *stream, void *host, const void *device, size_t n_bytes)
{
    return CALL(cuMemcpyDtoHAsync_v2, host, address(device), n_bytes, stream);
}

static int copy_on_device(void *stream, void *to, const void *from, size_t n_bytes)
{
    return CALL(cuMemcpyDtoDAsync_v2, address(to), address(from), n_bytes, stream);
}

static int fill(void *stream, void *device, uint8_t byte, size_t n_bytes)
{
    return CALL(cuMemsetD8Async, address(device), byte, n_bytes, stream);
}

static int event_create(void *context, void **ret_event)
{
    (void)context;
    return CALL(cuEventCreate, ret_event, CU_EVENT_DEFAULT);
}

static void event_destroy(void *event)
{
    if (event) {
        cu->cuEventDestroy_v2(event);
    }
}

static int event_record(void *event, void *stream)
{
    return CALL(cuEventRecord, event, stream);
}

static int event_sync(void *event)
{
    return CALL(cuEventSynchronize, event);
}

static int event_done(void *event)
{
    int code = cu->cuEventQuery(event);
    return code == CU_ERROR_NOT_READY ? 0 : code == CU_SUCCESS ? 1 : check(code, "cuEventQuery");
}

static int event_elapsed_ms(void *from, void *to, float *ret_ms)
{
    return CALL(cuEventElapsedTime, ret_ms, from, to);
}

static int stream_wait(void *stream, void *event)
{
    return CALL(cuStreamWaitEvent, stream, event, 0);
}

struct module {
    CUmodule handle;
    int shared_bytes;
};

static int module_load(void *context, const void *image, size_t n_bytes, void **ret_module)
{
    (void)n_bytes; /* the image says itself how long it is */
    struct module *m = calloc(1, sizeof(*m));
    if (!m) {
        snprintf(last.text, sizeof(last.text), "out of memory");
        return WEIR_E_NOMEM;
    }
    m->shared_bytes = ((struct context *)context)->shared_bytes;
    int rc = CALL(cuModuleLoadData, &m->handle, image);
    if (rc < 0) {
        free(m);
        return rc;
    }
    *ret_module = m;
    return 0;
}

static void module_unload(void *module)
{
    struct module *m = module;
    if (m) {
        cu->cuModuleUnload(m->handle);
        free(m);
    }
}

static int function_get(void *module, const char *name, void **ret_function)
{
    const struct module *m = module;
    int rc = CALL(cuModuleGetFunction, ret_function, m->handle, name);
    if (rc < 0) {
        return rc;
    }
    /* Static shared memory counts against the limit; what is asked for at launch is below it. */
    int bytes = m->shared_bytes;
    int code = CU_ERROR_INVALID_VALUE;
    for (; code != CU_SUCCESS && bytes > 0; bytes -= 1024) {
        code = cu->cuFuncSetAttribute(*ret_function, CU_FUNC_MAX_DYNAMIC_SHARED, bytes);
    }
    return check(code, "cuFuncSetAttribute");
}

/* The driver starts the kernel when the one ahead of it allows, not when that is done. */
static int launch_early(void *stream, void *function, const struct weir_gpu_launch *l)
{
    void *params[] = {(void *)(uintptr_t)l->args};
    CUlaunchAttribute early = {.id = CU_LAUNCH_PROGRAMMATIC_STREAM_SERIALIZATION,
                               .value.is_allowed = 1};
    CUlaunchConfig config = {.grid_x = l->grid[0],
                             .grid_y = l->grid[1],
                             .grid_z = l->grid[2],
                             .block_x = l->block,
                             .block_y = 1,
                             .block_z = 1,
                             .shared_bytes = l->shared_bytes,
                             .stream = stream,
                             .attributes = &early,
                             .n_attributes = 1};
    return CALL(cuLaunchKernelEx, &config, function, params, NULL);
}

static int launch(void *stream, void *function, const struct weir_gpu_launch *l)
{
    void *params[] = {(void *)(uintptr_t)l->args};
    if (l->early && cu->version >= WEIR_CUDA_VERSION_EARLY) {
        return launch_early(stream, function, l);
    }
    return CALL(cuLaunchKernel, function, l->grid[0], l->grid[1], l->grid[2], l->block, 1, 1,
                l->shared_bytes, stream, params, NULL);
}

static int capture_begin(void *stream)
{
    return CALL(cuStreamBeginCapture_v2, stream, CU_CAPTURE_THREAD_LOCAL);
}

static int capture_end(void *stream, void **ret_graph)
{
    CUgraph graph = NULL;
    int rc = CALL(cuStreamEndCapture, stream, &graph);
    if (rc < 0) {
        return rc;
    }
    rc = CALL(cuGraphInstantiateWithFlags, ret_graph, graph, 0);
    cu->cuGraphDestroy(graph);
    return rc;
}

static int graph_launch(void *stream, void *graph)
{
    return CALL(cuGraphLaunch, graph, stream);
}

static void graph_destroy(void *graph)
{
    if (graph) {
        cu->cuGraphExecDestroy(graph);
    }
}

static const struct weir_gpu_api api = {
    .name = "cuda",
    .device_count = device_count,
    .device_info = device_info,
    .context_create = context_create,
    .context_share = context_share,
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

const struct weir_gpu_api *weir_cuda_api(struct weir_error *err)
{
    const struct weir_cuda_driver *driver = weir_cuda_driver_open(err);
    if (!driver) {
        return NULL;
    }
    cu = driver; /* always the same */
    return &api;
}

const struct weir_gpu_collective *weir_cuda_collective(struct weir_error *err)
{
    return weir_nccl_open("libnccl.so.2", err);
}
