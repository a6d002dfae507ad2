/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/kernels/device.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/quant/half.h"
#include "kernels/images/images.h"

enum { GUARD_BYTES = 256, MAX_LAUNCHES = 64 };

static void die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    fflush(stderr);
    abort();
}

static void need(const struct weir_test_device *device, int rc, const char *what)
{
    if (rc < 0) {
        die(what, device->api->error_text());
    }
}

/* A device of compute capability 9.0 takes code for sm_90 and sm_90a. */
static int image_fits(const struct weir_gpu_image *image, const struct weir_gpu_props *props)
{
    char arch[32];
    if (props->family == WEIR_GPU_CDNA) {
        snprintf(arch, sizeof(arch), "gfx%x", props->arch);
        return strcmp(image->arch, arch) == 0;
    }
    snprintf(arch, sizeof(arch), "sm_%u", props->arch);
    size_t n = strlen(arch);
    return strncmp(image->arch, arch, n) == 0 &&
           (image->arch[n] == '\0' || strcmp(image->arch + n, "a") == 0);
}

static void load(struct weir_test_device *device, const void *bytes, size_t n_bytes)
{
    if (device->n_modules == sizeof(device->modules) / sizeof(device->modules[0])) {
        die("modules", "too many");
    }
    need(device,
         device->api->module_load(device->context, bytes, n_bytes,
                                  &device->modules[device->n_modules]),
         "module_load");
    device->n_modules++;
}

void weir_test_device_open(struct weir_test_device *device, const struct weir_gpu_api *api,
                           uint32_t index, const struct weir_gpu_image *images, size_t n_images)
{
    memset(device, 0, sizeof(*device));
    device->api = api;
    need(device, api->device_info(index, &device->info), "device_info");
    need(device, api->context_create(index, &device->context), "context_create");
    need(device, api->stream_create(device->context, &device->stream), "stream_create");
    if (!images) {
        load(device, NULL, 0);
        return;
    }
    for (size_t i = 0; i < n_images; i++) {
        if (image_fits(&images[i], &device->info.props)) {
            load(device, images[i].bytes, images[i].n_bytes);
            device->info.props.has_wgmma |= strcmp(images[i].arch, "sm_90a") == 0;
        }
    }
    if (device->n_modules == 0) {
        die("images", "none for this device");
    }
}

void weir_test_device_reset(struct weir_test_device *device)
{
    for (uint32_t i = 0; i < device->n_arrays; i++) {
        device->api->release(device->context, device->arrays[i].device);
    }
    device->n_arrays = 0;
}

void weir_test_device_close(struct weir_test_device *device)
{
    weir_test_device_reset(device);
    for (uint32_t i = 0; i < device->n_modules; i++) {
        device->api->module_unload(device->modules[i]);
    }
    device->api->stream_destroy(device->stream);
    device->api->context_destroy(device->context);
}

static void copy_in(struct weir_test_device *device, void *to, const void *from, size_t n_bytes)
{
    void *pinned;
    need(device, device->api->host_alloc(device->context, n_bytes + 1, &pinned), "host_alloc");
    memcpy(pinned, from, n_bytes);
    need(device, device->api->copy_to_device(device->stream, to, pinned, n_bytes), "copy");
    need(device, device->api->stream_sync(device->stream), "copy");
    device->api->host_release(device->context, pinned);
}

static void copy_out(struct weir_test_device *device, void *to, const void *from, size_t n_bytes)
{
    void *pinned;
    need(device, device->api->host_alloc(device->context, n_bytes + 1, &pinned), "host_alloc");
    need(device, device->api->copy_to_host(device->stream, pinned, from, n_bytes), "copy");
    need(device, device->api->stream_sync(device->stream), "copy");
    memcpy(to, pinned, n_bytes);
    device->api->host_release(device->context, pinned);
}

void *weir_test_array(struct weir_test_device *device, const void *from, size_t n_bytes)
{
    if (device->n_arrays == sizeof(device->arrays) / sizeof(device->arrays[0])) {
        die("arrays", "too many");
    }
    void *array;
    need(device, device->api->alloc(device->context, n_bytes + GUARD_BYTES, &array), "alloc");
    need(device, device->api->fill(device->stream, array, 0xFF, n_bytes + GUARD_BYTES), "fill");
    if (from && n_bytes > 0) {
        copy_in(device, array, from, n_bytes);
    }
    need(device, device->api->stream_sync(device->stream), "fill");
    device->arrays[device->n_arrays++] =
        (struct weir_test_array){.device = array, .n_bytes = n_bytes};
    return array;
}

static void check_guard(struct weir_test_device *device, const struct weir_test_array *array)
{
    uint8_t guard[GUARD_BYTES];
    copy_out(device, guard, (const char *)array->device + array->n_bytes, GUARD_BYTES);
    for (int i = 0; i < GUARD_BYTES; i++) {
        if (guard[i] != 0xFF) {
            die("an array", "a kernel wrote behind its end");
        }
    }
}

void weir_test_fetch(struct weir_test_device *device, const void *array, void *to, size_t n_bytes)
{
    for (uint32_t i = 0; i < device->n_arrays; i++) {
        if (device->arrays[i].device == array) {
            check_guard(device, &device->arrays[i]);
        }
    }
    copy_out(device, to, array, n_bytes);
}

static void *find_function(struct weir_test_device *device, const char *name)
{
    void *function = NULL;
    for (uint32_t i = 0; i < device->n_modules; i++) {
        if (device->api->function_get(device->modules[i], name, &function) == 0) {
            return function;
        }
    }
    die(name, "no such kernel");
    return NULL;
}

static void launch(struct weir_test_device *device, void *function,
                   const struct weir_gpu_launch *what)
{
    struct weir_gpu_launch early = *what;
    early.early = weir_gpu_starts_early(&device->info.props);
    need(device, device->api->launch(device->stream, function, &early), what->kernel);
}

void weir_test_run(struct weir_test_device *device, const struct weir_gpu_launch *launches, int n)
{
    if (n < 0) {
        die("launch", "the op refused its arguments");
    }
    for (int i = 0; i < n; i++) {
        void *function = find_function(device, launches[i].kernel);
        launch(device, function, &launches[i]);
        need(device, device->api->stream_sync(device->stream), launches[i].kernel);
    }
}

float weir_test_time(struct weir_test_device *device, const struct weir_gpu_launch *launches, int n,
                     int rounds)
{
    const struct weir_gpu_api *api = device->api;
    void *functions[MAX_LAUNCHES];
    void *from, *to, *graph;
    for (int i = 0; i < n; i++) {
        functions[i] = find_function(device, launches[i].kernel);
    }
    need(device, api->event_create(device->context, &from), "event");
    need(device, api->event_create(device->context, &to), "event");
    need(device, api->capture_begin(device->stream), "capture");
    for (int i = 0; i < n; i++) {
        launch(device, functions[i], &launches[i]);
    }
    need(device, api->capture_end(device->stream, &graph), "capture");
    need(device, api->graph_launch(device->stream, graph), "graph");
    need(device, api->stream_sync(device->stream), "graph");
    need(device, api->event_record(from, device->stream), "event");
    for (int i = 0; i < rounds; i++) {
        need(device, api->graph_launch(device->stream, graph), "graph");
    }
    need(device, api->event_record(to, device->stream), "event");
    need(device, api->event_sync(to), "event");
    need(device, api->stream_sync(device->stream), "graph");
    float ms = 0;
    need(device, api->event_elapsed_ms(from, to, &ms), "event");
    api->graph_destroy(graph);
    api->event_destroy(from);
    api->event_destroy(to);
    return ms / (float)rounds;
}

float weir_test_time_copy(struct weir_test_device *device, void *to, const void *from,
                          size_t n_bytes)
{
    const struct weir_gpu_api *api = device->api;
    void *begin, *end;
    float ms = 0;
    need(device, api->event_create(device->context, &begin), "event");
    need(device, api->event_create(device->context, &end), "event");
    need(device, api->copy_on_device(device->stream, to, from, n_bytes), "copy");
    need(device, api->event_record(begin, device->stream), "event");
    for (int i = 0; i < 10; i++) {
        need(device, api->copy_on_device(device->stream, to, from, n_bytes), "copy");
    }
    need(device, api->event_record(end, device->stream), "event");
    need(device, api->event_sync(end), "event");
    need(device, api->event_elapsed_ms(begin, end, &ms), "event");
    api->event_destroy(begin);
    api->event_destroy(end);
    return ms / 10;
}

void weir_test_to_f16(const float *from, uint16_t *to, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = weir_f32_to_f16(from[i]);
    }
}

void weir_test_random(float *to, size_t n, uint64_t seed)
{
    uint64_t state = seed * 0x9E3779B97F4A7C15u + 0x1234567u;
    for (size_t i = 0; i < n; i++) {
        float sum = 0;
        for (int j = 0; j < 4; j++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            sum += (float)(state >> 40) * 0x1p-24f;
        }
        to[i] = (sum - 2.0f) * 0.5f;
    }
}

double weir_test_nmse(const float *a, const float *b, size_t n)
{
    double error = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - (double)b[i];
        error += d * d;
        norm += (double)b[i] * (double)b[i];
    }
    return isnan(error) ? (double)INFINITY : norm > 0 ? error / norm : error;
}
