/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU backend as a plugin: its descriptor and the table of weir.backend.step/1. */
#include <stdio.h>
#include <unistd.h>

#include "backends/cpu/model.h"
#include "weir/plugin.h"

enum { SCORE_SCALAR = 1, SCORE_VECTOR = 100, ERROR_BYTES = 512 };

static int devices(const weir_host *host, weir_device *out, uint32_t cap, uint32_t *n_out)
{
    (void)host;
    *n_out = 0;
    if (cap == 0) {
        return 0;
    }
    const struct weir_cpu_isa *isa = weir_cpu_isa_find(NULL);
    long page = sysconf(_SC_PAGESIZE);
    bool is_scalar = strcmp(isa->name, "scalar") == 0;
    *out = (weir_device){
        .struct_size = sizeof(*out),
        .score = is_scalar ? SCORE_SCALAR : SCORE_VECTOR,
        .memory_total_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)page,
        .memory_free_bytes = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * (uint64_t)page,
        .id = "cpu0",
    };
    snprintf(out->name, sizeof(out->name), "%s, %u cores", isa->name, weir_cpu_count());
    *n_out = 1;
    return 0;
}

static int load(const weir_host *host, const weir_load_params *params, void **model, weir_str *err)
{
    /* The sentence outlives the call, and there is no model to keep it in. */
    static _Thread_local char sentence[ERROR_BYTES];
    struct weir_error error = {0};
    struct weir_cpu_model *loaded = NULL;
    int rc = weir_cpu_model_load(host, params, &loaded, &error);
    if (rc < 0) {
        snprintf(sentence, sizeof(sentence), "%s", error.message);
        *err = weir_str_from(sentence);
        return rc;
    }
    *model = loaded;
    return 0;
}

static void unload(void *model)
{
    weir_cpu_model_unload(model);
}

static int info(void *model, weir_model_info *out)
{
    const struct weir_cpu_model *m = model;
    uint32_t size = out->struct_size < sizeof(*out) ? out->struct_size : sizeof(*out);
    memcpy(out, &m->info, size);
    out->struct_size = size;
    return 0;
}

static int step(void *model, const weir_step_batch *batch, weir_step_result *results)
{
    return weir_cpu_model_step(model, batch, results);
}

static int prefill_begin(void *model, const weir_step_batch *batch, weir_step_result *results)
{
    return weir_cpu_model_prefill_begin(model, batch, results);
}

static int prefill_run(void *model, uint32_t us)
{
    return weir_cpu_model_prefill_run(model, us);
}

static void prefill_drop(void *model)
{
    weir_cpu_model_prefill_drop(model);
}

static void interrupt(void *model)
{
    struct weir_cpu_model *m = model;
    weir_cpu_exec_cancel(&m->exec);
    weir_cpu_exec_cancel(&m->prefill_exec);
}

static void stats(void *model, void (*each)(void *arg, const char *name, double value), void *arg)
{
    weir_cpu_model_stats(model, each, arg);
}

static const weir_backend_step step_table = {
    .struct_size = sizeof(step_table),
    .devices = devices,
    .load = load,
    .unload = unload,
    .info = info,
    .step = step,
    .interrupt = interrupt,
    .prefill_begin = prefill_begin,
    .prefill_run = prefill_run,
    .prefill_drop = prefill_drop,
    .stats = stats,
};

static const void *get_ext(const char *id)
{
    return strcmp(id, WEIR_EXT_BACKEND_STEP) == 0 ? &step_table : NULL;
}

static const char *const provides[] = {WEIR_EXT_BACKEND_STEP, NULL};

static const weir_plugin plugin = {
    WEIR_PLUGIN_HEAD,
    .name = "cpu",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .description = "Runs GGUF models on the CPU: AVX2, AVX-512, NEON or portable code",
    .provides = provides,
    .get_ext = get_ext,
};

const weir_plugin *weir_plugin_entry_v1(void)
{
    return &plugin;
}
