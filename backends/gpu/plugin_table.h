/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The functions of weir.backend.step/1 over a struct weir_gpu_backend. A backend's plugin.c makes
 * its table of these, with devices and load of its own that name the backend. */
#include "backends/gpu/backend.h"
#include "weir/backend_step.h"

int weir_gpu_devices(const struct weir_gpu_backend *backend, weir_device *out, uint32_t cap,
                     uint32_t *n_out);
int weir_gpu_load(const struct weir_gpu_backend *backend, const weir_host *host,
                  const weir_load_params *params, void **model, weir_str *err);
void weir_gpu_unload(void *model);
int weir_gpu_info(void *model, weir_model_info *out);
int weir_gpu_step(void *model, const weir_step_batch *batch, weir_step_result *results);
int weir_gpu_step_begin(void *model, const weir_step_batch *batch, weir_step_result *results);
int weir_gpu_step_end(void *model);
void weir_gpu_interrupt(void *model);
void weir_gpu_stats(void *model, void (*each)(void *arg, const char *name, double value),
                    void *arg);

/* Everything of a plugin. */
#define WEIR_GPU_PLUGIN(backend, plugin_name, plugin_description)                                  \
    static int devices(const weir_host *host, weir_device *out, uint32_t cap, uint32_t *n_out)     \
    {                                                                                              \
        (void)host;                                                                                \
        return weir_gpu_devices(&(backend), out, cap, n_out);                                      \
    }                                                                                              \
    static int load(const weir_host *host, const weir_load_params *params, void **model,           \
                    weir_str *err)                                                                 \
    {                                                                                              \
        return weir_gpu_load(&(backend), host, params, model, err);                                \
    }                                                                                              \
    static const weir_backend_step step_table = {                                                  \
        .struct_size = sizeof(step_table),                                                         \
        .devices = devices,                                                                        \
        .load = load,                                                                              \
        .unload = weir_gpu_unload,                                                                 \
        .info = weir_gpu_info,                                                                     \
        .step = weir_gpu_step,                                                                     \
        .interrupt = weir_gpu_interrupt,                                                           \
        .stats = weir_gpu_stats,                                                                   \
        .max_devices = WEIR_GPU_RANKS_MAX,                                                         \
        .step_begin = weir_gpu_step_begin,                                                         \
        .step_end = weir_gpu_step_end,                                                             \
    };                                                                                             \
    static const void *get_ext(const char *id)                                                     \
    {                                                                                              \
        return strcmp(id, WEIR_EXT_BACKEND_STEP) == 0 ? &step_table : NULL;                        \
    }                                                                                              \
    static const char *const provides[] = {WEIR_EXT_BACKEND_STEP, NULL};                           \
    static const weir_plugin plugin = {                                                            \
        WEIR_PLUGIN_HEAD,                                                                          \
        .name = (plugin_name),                                                                     \
        .version = "0.1.0",                                                                        \
        .license = "Apache-2.0",                                                                   \
        .description = (plugin_description),                                                       \
        .provides = provides,                                                                      \
        .get_ext = get_ext,                                                                        \
    };                                                                                             \
    const weir_plugin *weir_plugin_entry_v1(void)                                                  \
    {                                                                                              \
        return &plugin;                                                                            \
    }
