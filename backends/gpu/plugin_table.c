/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/gpu/plugin_table.h"

#include <stdio.h>
#include <stdlib.h>

#include "backends/gpu/device.h"
#include "backends/gpu/model.h"

enum { SENTENCE_BYTES = 512 };

/* What a plugin's model handle is. */
struct handle {
    const weir_host *host; /* may be NULL */
    struct weir_gpu_model *model;
};

/* A device that cannot be used, with the reason in place of its name. */
static weir_device unusable(uint32_t index, const struct weir_error *why)
{
    weir_device d = {.struct_size = sizeof(d), .index = index};
    snprintf(d.name, sizeof(d.name), "%s", why->message);
    return d;
}

static weir_device describe(const struct weir_gpu_backend *backend, const struct weir_gpu_api *api,
                            uint32_t index)
{
    struct weir_gpu_device_info info;
    struct weir_error why = {0};
    if (api->device_info(index, &info) < 0) {
        weir_error_set(&why, WEIR_E_DEVICE, "device %u: %s", index, api->error_text());
        return unusable(index, &why);
    }
    weir_device d = {
        .struct_size = sizeof(d),
        .index = index,
        .score = backend->score,
        .memory_total_bytes = info.memory_bytes,
        .memory_free_bytes = info.memory_bytes,
    };
    if (weir_gpu_device_check(backend, &info, &why) < 0) {
        weir_error_prefix(&why, "%s", info.name);
        d = unusable(index, &why);
    } else {
        snprintf(d.name, sizeof(d.name), "%s", info.name);
    }
    snprintf(d.id, sizeof(d.id), "%s", info.uuid);
    return d;
}

int weir_gpu_devices(const struct weir_gpu_backend *backend, weir_device *out, uint32_t cap,
                     uint32_t *n_out)
{
    struct weir_error why = {0};
    *n_out = 0;
    if (cap == 0) {
        return 0;
    }
    const struct weir_gpu_api *api = backend->open(&why);
    uint32_t n = 0;
    if (api && api->device_count(&n) < 0) {
        weir_error_set(&why, WEIR_E_DEVICE, "%s", api->error_text());
    } else if (api && n == 0) {
        weir_error_set(&why, WEIR_E_NOTFOUND, "the driver sees no device");
    }
    if (!api || n == 0) {
        out[0] = unusable(0, &why);
        *n_out = 1;
        return 0;
    }
    for (uint32_t i = 0; i < n && i < cap; i++) {
        out[(*n_out)++] = describe(backend, api, i);
    }
    return 0;
}

int weir_gpu_load(const struct weir_gpu_backend *backend, const weir_host *host,
                  const weir_load_params *params, void **model, weir_str *err)
{
    /* The sentence outlives the call, and there is no model to keep it in. */
    static _Thread_local char sentence[SENTENCE_BYTES];
    struct weir_error error = {0};
    struct weir_gpu_options options;
    struct handle *h = calloc(1, sizeof(*h));
    int rc = h ? weir_gpu_options_read(params->options_json, &options, &error)
               : weir_error_set(&error, WEIR_E_NOMEM, "out of memory");
    rc = rc < 0 ? rc : weir_gpu_model_load(backend, params, &options, &h->model, &error);
    if (rc < 0) {
        free(h);
        snprintf(sentence, sizeof(sentence), "%s", error.message);
        *err = weir_str_from(sentence);
        return rc;
    }
    h->host = host;
    *model = h;
    return 0;
}

void weir_gpu_unload(void *model)
{
    struct handle *h = model;
    weir_gpu_model_unload(h->model);
    free(h);
}

int weir_gpu_info(void *model, weir_model_info *out)
{
    const weir_model_info *info = weir_gpu_model_info(((struct handle *)model)->model);
    uint32_t size = out->struct_size < sizeof(*info) ? out->struct_size : (uint32_t)sizeof(*info);
    memcpy(out, info, size);
    out->struct_size = size;
    return 0;
}

/* Logs why a step failed; gives rc. */
static int report(const struct handle *h, int rc)
{
    if (rc < 0 && rc != WEIR_E_CANCELLED && h->host) {
        char line[SENTENCE_BYTES];
        int n = snprintf(line, sizeof(line), "a step failed on %s: %s",
                         weir_gpu_model_info(h->model)->device, weir_gpu_model_failure(h->model));
        size_t len = n < 0 ? 0 : (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1;
        h->host->log(h->host, WEIR_LEVEL_ERROR, NULL, (weir_str){line, len});
    }
    return rc;
}

int weir_gpu_step(void *model, const weir_step_batch *batch, weir_step_result *results)
{
    struct handle *h = model;
    return report(h, weir_gpu_model_step(h->model, batch, results));
}

int weir_gpu_step_begin(void *model, const weir_step_batch *batch, weir_step_result *results)
{
    struct handle *h = model;
    return report(h, weir_gpu_model_begin(h->model, batch, results));
}

int weir_gpu_step_end(void *model)
{
    struct handle *h = model;
    return report(h, weir_gpu_model_end(h->model));
}

void weir_gpu_interrupt(void *model)
{
    weir_gpu_model_interrupt(((struct handle *)model)->model);
}

void weir_gpu_stats(void *model, void (*each)(void *arg, const char *name, double value), void *arg)
{
    weir_gpu_model_stats(((struct handle *)model)->model, each, arg);
}
