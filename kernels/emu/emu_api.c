/* SPDX-License-Identifier: Apache-2.0 */
/* The emulator as a GPU driver. Device memory is host memory, filled with NaNs when it is allotted;
 * streams do everything at once; a graph is the list of what a stream was asked for.
 * A kernel that breaks a rule loses the device, as on a GPU: the launch is accepted, the next wait
 * fails, and so does everything after it. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/emu/emu_internal.h"

enum { N_DEVICES = 4, MEMORY_MIB = 4096, MAX_GRAPH_STEPS = 1u << 16 };

struct context {
    struct weir_emu_pool *pool;
    uint32_t lanes;
    uint64_t used_bytes;
    struct weir_error lost; /* code 0: it works */
};

enum step_kind { STEP_LAUNCH, STEP_COPY, STEP_FILL, STEP_CALL };

struct step {
    enum step_kind kind;
    const struct weir_emu_kernel *kernel;
    struct weir_gpu_launch launch; /* args is owned */
    weir_emu_call *call;           /* with launch.args */
    void *to;
    const void *from;
    size_t n_bytes;
    uint8_t byte;
};

struct graph {
    struct step *steps;
    uint32_t n_steps, capacity;
};

struct stream {
    struct context *context;
    struct graph *capture; /* NULL: steps are done at once */
};

struct event {
    struct timespec at;
};

struct block_header { /* before each piece of device memory */
    size_t n_bytes;
    char padding[256 - sizeof(size_t)];
};

static __thread struct weir_error last_error;

static int device_count(uint32_t *ret_n)
{
    *ret_n = N_DEVICES;
    return 0;
}

static int device_info(uint32_t device, struct weir_gpu_device_info *ret_info)
{
    if (device >= N_DEVICES) {
        return weir_error_set(&last_error, WEIR_E_ARG, "there is no emulated device %u", device);
    }
    int is_nv = device < 2;
    *ret_info =
        (struct weir_gpu_device_info){.props = {.family = is_nv ? WEIR_GPU_NV : WEIR_GPU_CDNA,
                                                .arch = is_nv ? 80 : 0x942,
                                                .n_sm = 4,
                                                .lanes = is_nv ? 32 : 64,
                                                .shared_bytes = is_nv ? 227 * 1024 : 64 * 1024,
                                                .l2_bytes = 4u << 20},
                                      .memory_bytes = (uint64_t)MEMORY_MIB << 20};
    snprintf(ret_info->name, sizeof(ret_info->name), "emulated GPU, waves of %u",
             ret_info->props.lanes);
    snprintf(ret_info->uuid, sizeof(ret_info->uuid), "EMU-%u", device);
    return 0;
}

static int context_create(uint32_t device, void **ret_context)
{
    struct weir_gpu_device_info info;
    int rc = device_info(device, &info);
    if (rc < 0) {
        return rc;
    }
    struct context *context = calloc(1, sizeof(*context));
    if (!context) {
        return weir_error_set(&last_error, WEIR_E_NOMEM, "out of memory");
    }
    context->lanes = info.props.lanes;
    rc = weir_emu_pool_create(0, &context->pool);
    if (rc < 0) {
        free(context);
        return weir_error_set(&last_error, rc, "no threads for the emulator");
    }
    *ret_context = context;
    return 0;
}

static void context_destroy(void *arg)
{
    struct context *context = arg;
    if (context) {
        weir_emu_pool_destroy(context->pool);
        free(context);
    }
}

static int check_alive(const struct context *context)
{
    if (context->lost.code != 0) {
        return weir_error_set(&last_error, WEIR_E_DEVICE, "%s", context->lost.message);
    }
    return 0;
}

static int context_use(void *context)
{
    return check_alive(context);
}

static int memory_info(void *arg, uint64_t *ret_free, uint64_t *ret_total)
{
    struct context *context = arg;
    *ret_total = (uint64_t)MEMORY_MIB << 20;
    *ret_free = *ret_total - context->used_bytes;
    return check_alive(context);
}

static int device_lost(void *context)
{
    return ((struct context *)context)->lost.code != 0;
}

static int alloc(void *arg, size_t n_bytes, void **ret_device)
{
    struct context *context = arg;
    int rc = check_alive(context);
    if (rc < 0) {
        return rc;
    }
    uint64_t left = ((uint64_t)MEMORY_MIB << 20) - context->used_bytes;
    if (n_bytes > left) {
        return weir_error_set(&last_error, WEIR_E_NOMEM, "out of device memory: %zu bytes wanted",
                              n_bytes);
    }
    size_t rounded = (sizeof(struct block_header) + n_bytes + 255) / 256 * 256;
    struct block_header *header = aligned_alloc(256, rounded);
    if (!header) {
        return weir_error_set(&last_error, WEIR_E_NOMEM, "out of memory");
    }
    header->n_bytes = n_bytes;
    memset(header + 1, 0xFF, n_bytes);
    context->used_bytes += n_bytes;
    *ret_device = header + 1;
    /* cppcheck-suppress memleak ; the caller has the bytes behind it, release() frees it */
    return 0;
}

static void release(void *arg, void *device)
{
    struct context *context = arg;
    if (device) {
        struct block_header *header = (struct block_header *)device - 1;
        context->used_bytes -= header->n_bytes;
        free(header);
    }
}

static int host_alloc(void *context, size_t n_bytes, void **ret_host)
{
    int rc = check_alive(context);
    if (rc < 0) {
        return rc;
    }
    void *host = aligned_alloc(256, (n_bytes + 255) / 256 * 256 + 256);
    if (!host) {
        return weir_error_set(&last_error, WEIR_E_NOMEM, "out of memory");
    }
    *ret_host = host;
    return 0;
}

static void host_release(void *context, void *host)
{
    (void)context;
    free(host);
}

static int stream_create(void *context, void **ret_stream)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    if (!stream) {
        return weir_error_set(&last_error, WEIR_E_NOMEM, "out of memory");
    }
    stream->context = context;
    *ret_stream = stream;
    return 0;
}

static void graph_destroy(void *arg)
{
    struct graph *graph = arg;
    if (!graph) {
        return;
    }
    for (uint32_t i = 0; i < graph->n_steps; i++) {
        free((void *)(uintptr_t)graph->steps[i].launch.args);
    }
    free(graph->steps);
    free(graph);
}

static void stream_destroy(void *arg)
{
    struct stream *stream = arg;
    if (stream) {
        graph_destroy(stream->capture);
        free(stream);
    }
}

static int stream_sync(void *stream)
{
    return check_alive(((struct stream *)stream)->context);
}

static void do_step(struct context *context, const struct step *step)
{
    if (context->lost.code != 0) {
        return;
    }
    switch (step->kind) {
    case STEP_COPY: memmove(step->to, step->from, step->n_bytes); break;
    case STEP_FILL: memset(step->to, step->byte, step->n_bytes); break;
    case STEP_LAUNCH: {
        struct weir_error err = {0};
        int rc = weir_emu_pool_run(context->pool, step->kernel, &step->launch, &err);
        if (rc < 0) {
            context->lost = err;
        }
        break;
    }
    case STEP_CALL: {
        struct weir_error err = {0};
        if (step->call(step->launch.args, &err) < 0) {
            context->lost = err;
        }
        break;
    }
    }
}

/* The step's arguments are copied: the caller's go out of scope before the graph runs. */
static int record_step(struct graph *graph, struct step step)
{
    if (graph->n_steps == graph->capacity) {
        uint32_t capacity = graph->capacity ? 2 * graph->capacity : 64;
        struct step *steps =
            capacity <= MAX_GRAPH_STEPS ? realloc(graph->steps, capacity * sizeof(*steps)) : NULL;
        if (!steps) {
            return weir_error_set(&last_error, WEIR_E_NOMEM, "the graph grew too large");
        }
        graph->steps = steps;
        graph->capacity = capacity;
    }
    if (step.kind == STEP_LAUNCH || step.kind == STEP_CALL) {
        void *args = malloc(step.launch.args_bytes + 1);
        if (!args) {
            return weir_error_set(&last_error, WEIR_E_NOMEM, "out of memory");
        }
        memcpy(args, step.launch.args, step.launch.args_bytes);
        step.launch.args = args;
    }
    graph->steps[graph->n_steps++] = step;
    return 0;
}

static int submit(struct stream *stream, const struct step *step)
{
    int rc = check_alive(stream->context);
    if (rc < 0) {
        return rc;
    }
    if (stream->capture) {
        return record_step(stream->capture, *step);
    }
    do_step(stream->context, step);
    return 0;
}

static int copy(void *stream, void *to, const void *from, size_t n_bytes)
{
    struct step step = {.kind = STEP_COPY, .to = to, .from = from, .n_bytes = n_bytes};
    return submit(stream, &step);
}

static int fill(void *stream, void *device, uint8_t byte, size_t n_bytes)
{
    struct step step = {.kind = STEP_FILL, .to = device, .n_bytes = n_bytes, .byte = byte};
    return submit(stream, &step);
}

int weir_emu_stream_call(void *stream, weir_emu_call *call, const void *args, size_t n_bytes)
{
    struct step step = {
        .kind = STEP_CALL, .call = call, .launch = {.args = args, .args_bytes = n_bytes}};
    return submit(stream, &step);
}

static int event_create(void *context, void **ret_event)
{
    (void)context;
    struct event *event = calloc(1, sizeof(*event));
    if (!event) {
        return weir_error_set(&last_error, WEIR_E_NOMEM, "out of memory");
    }
    *ret_event = event;
    return 0;
}

static void event_destroy(void *event)
{
    free(event);
}

static int event_record(void *event, void *stream)
{
    clock_gettime(CLOCK_MONOTONIC, &((struct event *)event)->at);
    return check_alive(((struct stream *)stream)->context);
}

static int event_sync(void *event)
{
    (void)event;
    return 0;
}

static int event_done(void *event)
{
    (void)event;
    return 1;
}

static int event_elapsed_ms(void *from, void *to, float *ret_ms)
{
    const struct event *a = from, *b = to;
    *ret_ms = (float)((double)(b->at.tv_sec - a->at.tv_sec) * 1e3 +
                      (double)(b->at.tv_nsec - a->at.tv_nsec) * 1e-6);
    return 0;
}

static int stream_wait(void *stream, void *event)
{
    (void)event;
    return check_alive(((struct stream *)stream)->context);
}

/* A module is its context: that says which variant of the kernels to take. */
static int module_load(void *context, const void *image, size_t n_bytes, void **ret_module)
{
    (void)image;
    (void)n_bytes;
    int rc = check_alive(context);
    if (rc == 0) {
        *ret_module = context;
    }
    return rc;
}

static void module_unload(void *module)
{
    (void)module;
}

static int function_get(void *module, const char *name, void **ret_function)
{
    const struct weir_emu_kernel *kernel =
        weir_emu_kernel_find(name, ((struct context *)module)->lanes);
    if (!kernel) {
        return weir_error_set(&last_error, WEIR_E_NOTFOUND, "no kernel %s", name);
    }
    *ret_function = (void *)(uintptr_t)kernel;
    return 0;
}

static int launch(void *arg, void *function, const struct weir_gpu_launch *launch)
{
    struct stream *stream = arg;
    struct weir_gpu_device_info info;
    (void)device_info(stream->context->lanes == 32 ? 0 : 2, &info);
    if (launch->shared_bytes > info.props.shared_bytes) {
        return weir_error_set(&last_error, WEIR_E_ARG, "%s: %u bytes of shared memory",
                              launch->kernel, launch->shared_bytes);
    }
    struct step step = {.kind = STEP_LAUNCH, .kernel = function, .launch = *launch};
    return submit(stream, &step);
}

static int capture_begin(void *arg)
{
    struct stream *stream = arg;
    if (stream->capture) {
        return weir_error_set(&last_error, WEIR_E_ARG, "the stream is being captured already");
    }
    stream->capture = calloc(1, sizeof(*stream->capture));
    if (!stream->capture) {
        return weir_error_set(&last_error, WEIR_E_NOMEM, "out of memory");
    }
    return 0;
}

static int capture_end(void *arg, void **ret_graph)
{
    struct stream *stream = arg;
    if (!stream->capture) {
        return weir_error_set(&last_error, WEIR_E_ARG, "the stream is not being captured");
    }
    *ret_graph = stream->capture;
    stream->capture = NULL;
    return 0;
}

static int graph_launch(void *arg, void *handle)
{
    struct stream *stream = arg;
    const struct graph *graph = handle;
    int rc = check_alive(stream->context);
    for (uint32_t i = 0; i < graph->n_steps && rc == 0; i++) {
        do_step(stream->context, &graph->steps[i]);
    }
    return rc;
}

static const char *error_text(void)
{
    return last_error.message;
}

struct weir_emu_pool *weir_emu_context_pool(void *context)
{
    return ((struct context *)context)->pool;
}

const struct weir_gpu_api *weir_emu_api(void)
{
    static const struct weir_gpu_api api = {
        .name = "emu",
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
        .copy_to_device = copy,
        .copy_to_host = copy,
        .copy_on_device = copy,
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
    return &api;
}
