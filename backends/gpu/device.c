/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/gpu/device.h"

#include <string.h>

#include "backends/gpu/code.h"

int weir_gpu_error(const struct weir_gpu_device *d, int rc, const char *what,
                   struct weir_error *err)
{
    return weir_error_set(err, rc, "%s: %s", what, d->api->error_text());
}

int weir_gpu_device_check(const struct weir_gpu_backend *backend,
                          const struct weir_gpu_device_info *info, struct weir_error *err)
{
    char arch[WEIR_GPU_ARCH_BYTES];
    return backend->images ? weir_gpu_code_find(backend, &info->props, arch, err) : 0;
}

static int load_module(struct weir_gpu_device *d, const void *image, size_t n_bytes)
{
    if (d->n_modules == WEIR_GPU_MODULES_MAX) {
        return WEIR_E_TOOBIG;
    }
    int rc = d->api->module_load(d->context, image, n_bytes, &d->modules[d->n_modules]);
    d->n_modules += rc >= 0;
    return rc;
}

static int load_code(struct weir_gpu_device *d, struct weir_error *err)
{
    if (!d->backend->images) {
        int rc = load_module(d, NULL, 0);
        return rc < 0 ? weir_gpu_error(d, rc, "loading the kernels", err) : 0;
    }
    char arch[WEIR_GPU_ARCH_BYTES];
    int rc = weir_gpu_code_find(d->backend, &d->info.props, arch, err);
    if (rc < 0) {
        weir_error_prefix(err, "%s", d->info.name);
        return rc;
    }
    d->info.props.has_wgmma = strcmp(arch, "sm_90a") == 0;
    for (size_t i = 0; i < *d->backend->n_images; i++) {
        const struct weir_gpu_image *image = &d->backend->images[i];
        if (strcmp(image->arch, arch) != 0) {
            continue;
        }
        rc = load_module(d, image->bytes, image->n_bytes);
        if (rc < 0) {
            return weir_error_set(err, rc, "loading the kernels of %s for %s: %s", image->op, arch,
                                  d->api->error_text());
        }
    }
    return 0;
}

int weir_gpu_device_open(struct weir_gpu_device *d, const struct weir_gpu_backend *backend,
                         uint32_t index, bool is_shared, struct weir_error *err)
{
    *d = (struct weir_gpu_device){.backend = backend, .index = index};
    d->api = backend->open(err);
    if (!d->api) {
        return err && err->code < 0 ? err->code : WEIR_E_DEVICE;
    }
    uint32_t n = 0;
    int rc = d->api->device_count(&n);
    if (rc < 0) {
        return weir_gpu_error(d, rc, "counting devices", err);
    }
    if (index >= n) { /* it was there when the devices were listed */
        return weir_error_set(err, WEIR_E_DEVICE,
                              "device %u of %s is gone: the driver sees %u of them", index,
                              backend->name, n);
    }
    rc = d->api->device_info(index, &d->info);
    if (rc < 0) {
        return weir_gpu_error(d, rc, "asking for the device's properties", err);
    }
    rc = is_shared ? d->api->context_share(index, &d->context)
                   : d->api->context_create(index, &d->context);
    if (rc < 0) {
        return weir_gpu_error(d, rc, "opening the device", err);
    }
    rc = d->api->stream_create(d->context, &d->stream);
    if (rc < 0) {
        rc = weir_gpu_error(d, rc, "opening a stream", err);
    } else {
        rc = load_code(d, err);
    }
    if (rc < 0) {
        weir_gpu_device_close(d);
    }
    return rc;
}

void weir_gpu_device_close(struct weir_gpu_device *d)
{
    if (d->context) {
        for (uint32_t i = 0; i < d->n_modules; i++) {
            d->api->module_unload(d->modules[i]);
        }
        d->api->stream_destroy(d->stream);
        d->api->context_destroy(d->context);
    }
    *d = (struct weir_gpu_device){0};
}

int weir_gpu_device_use(struct weir_gpu_device *d)
{
    return d->api->context_use(d->context);
}

static int find_function(struct weir_gpu_device *d, const char *name, void **ret_function)
{
    for (uint32_t i = 0; i < d->n_functions; i++) {
        if (d->functions[i].name == name || strcmp(d->functions[i].name, name) == 0) {
            *ret_function = d->functions[i].function;
            return 0;
        }
    }
    int rc = WEIR_E_NOTFOUND;
    for (uint32_t i = 0; rc == WEIR_E_NOTFOUND && i < d->n_modules; i++) {
        rc = d->api->function_get(d->modules[i], name, ret_function);
    }
    if (rc >= 0 && d->n_functions < WEIR_GPU_FUNCTIONS_MAX) {
        d->functions[d->n_functions].name = name;
        d->functions[d->n_functions++].function = *ret_function;
    }
    return rc;
}

int weir_gpu_device_launch(struct weir_gpu_device *d, const struct weir_gpu_launch *launch)
{
    void *function = NULL;
    int rc = find_function(d, launch->kernel, &function);
    struct weir_gpu_launch early = *launch;
    early.early = weir_gpu_starts_early(&d->info.props);
    return rc < 0 ? rc : d->api->launch(d->stream, function, &early);
}
