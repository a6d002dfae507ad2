/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/hip/rocm_smi.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

struct rsmi_errors {
    uint64_t correctable, uncorrectable;
};

enum {
    RSMI_MEMORY_VRAM = 0,
    RSMI_TEMPERATURE_JUNCTION = 1,
    RSMI_TEMPERATURE_CURRENT = 0,
    RSMI_BLOCK_UMC = 1 /* the memory controller */
};

struct rsmi {
    void *library;
    int (*init)(uint64_t flags);
    int (*shutdown)(void);
    int (*count)(uint32_t *n);
    int (*pci_id)(uint32_t index, uint64_t *id);
    int (*busy)(uint32_t index, uint32_t *percent);
    int (*memory_total)(uint32_t index, int kind, uint64_t *bytes);
    int (*memory_used)(uint32_t index, int kind, uint64_t *bytes);
    int (*power)(uint32_t index, uint32_t sensor, uint64_t *microwatts);
    int (*temperature)(uint32_t index, uint32_t sensor, int metric, int64_t *millidegrees);
    int (*ecc)(uint32_t index, uint64_t block, struct rsmi_errors *errors);
    int (*throttle)(uint32_t index, uint32_t *status);

    uint32_t index;
    uint64_t first_errors, last_errors; /* uncorrectable ones at open and now */
};

static const char *const symbols[] = {
    "rsmi_init",
    "rsmi_shut_down",
    "rsmi_num_monitor_devices",
    "rsmi_dev_pci_id_get",
    "rsmi_dev_busy_percent_get",
    "rsmi_dev_memory_total_get",
    "rsmi_dev_memory_usage_get",
    "rsmi_dev_power_ave_get",
    "rsmi_dev_temp_metric_get",
    "rsmi_dev_ecc_count_get",
    "rsmi_dev_metrics_throttle_status_get",
};

static const char *const libraries[] = {"librocm_smi64.so.7", "librocm_smi64.so.6",
                                        "librocm_smi64.so.5", "librocm_smi64.so.1"};

static void *open_library(void)
{
    void *library = NULL;
    for (size_t i = 0; !library && i < sizeof(libraries) / sizeof(libraries[0]); i++) {
        library = dlopen(libraries[i], RTLD_NOW | RTLD_LOCAL);
    }
    return library;
}

/* Fills the members from `init` on, in the order of symbols[]; absent ones stay NULL. */
static void find_symbols(struct rsmi *r)
{
    void **member = (void **)(void *)&r->init;
    for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
        member[i] = dlsym(r->library, symbols[i]);
    }
}

/* "0000:c1:00.0" as ROCm SMI numbers devices; false when it is no PCI address. */
static int find_device(struct rsmi *r, const char *id)
{
    unsigned domain = 0;
    unsigned bus = 0;
    unsigned device = 0;
    unsigned function = 0;
    if (sscanf(id, "%x:%x:%x.%x", &domain, &bus, &device, &function) != 4) { // NOLINT(cert-err34-c)
        return 0;
    }
    uint64_t wanted = (uint64_t)domain << 32 | (uint64_t)(bus & 0xff) << 8 | (device & 0x1f) << 3 |
                      (function & 7);
    uint32_t n = 0;
    if (r->count(&n) != 0) {
        return 0;
    }
    for (r->index = 0; r->index < n; r->index++) {
        uint64_t found = 0;
        /* Bits 28..31 hold a partition number. */
        if (r->pci_id(r->index, &found) == 0 && (found & 0xffffffff0fffffff) == wanted) {
            return 1;
        }
    }
    return 0;
}

static void close_monitor(void *monitor)
{
    struct rsmi *r = monitor;
    if (!r) {
        return;
    }
    r->shutdown();
    dlclose(r->library);
    free(r);
}

static uint64_t count_errors(struct rsmi *r, int *ret_known)
{
    struct rsmi_errors errors = {0};
    *ret_known = r->ecc && r->ecc(r->index, RSMI_BLOCK_UMC, &errors) == 0;
    return *ret_known ? errors.uncorrectable : 0;
}

static void *open_monitor(const char *id)
{
    struct rsmi *r = calloc(1, sizeof(*r));
    if (!r) {
        return NULL;
    }
    r->library = open_library();
    if (!r->library) {
        free(r);
        return NULL;
    }
    find_symbols(r);
    if (!r->init || !r->shutdown || !r->count || !r->pci_id || r->init(0) != 0) {
        dlclose(r->library);
        free(r);
        return NULL;
    }
    if (!find_device(r, id)) {
        close_monitor(r);
        return NULL;
    }
    int known = 0;
    r->first_errors = count_errors(r, &known);
    return r;
}

static void read_monitor(void *monitor, struct weir_gpu_health *ret_health)
{
    struct rsmi *r = monitor;
    uint32_t value = 0;
    uint64_t wide = 0;
    int64_t degrees = 0;
    *ret_health = (struct weir_gpu_health){0};
    if (r->busy && r->busy(r->index, &value) == 0) {
        weir_gpu_health_set(ret_health, WEIR_GPU_UTILIZATION, value / 100.0);
    }
    if (r->memory_used && r->memory_used(r->index, RSMI_MEMORY_VRAM, &wide) == 0) {
        weir_gpu_health_set(ret_health, WEIR_GPU_MEMORY_USED, (double)wide);
    }
    if (r->memory_total && r->memory_total(r->index, RSMI_MEMORY_VRAM, &wide) == 0) {
        weir_gpu_health_set(ret_health, WEIR_GPU_MEMORY_TOTAL, (double)wide);
    }
    if (r->power && r->power(r->index, 0, &wide) == 0) {
        weir_gpu_health_set(ret_health, WEIR_GPU_POWER, (double)wide * 1e-6);
    }
    if (r->temperature && r->temperature(r->index, RSMI_TEMPERATURE_JUNCTION,
                                         RSMI_TEMPERATURE_CURRENT, &degrees) == 0) {
        weir_gpu_health_set(ret_health, WEIR_GPU_TEMPERATURE, (double)degrees * 1e-3);
    }
    if (r->throttle && r->throttle(r->index, &value) == 0) {
        weir_gpu_health_set(ret_health, WEIR_GPU_THROTTLED, value != 0);
    }
    int known = 0;
    uint64_t errors = count_errors(r, &known);
    if (known) {
        weir_gpu_health_set(ret_health, WEIR_GPU_ECC_UNCORRECTED, (double)errors);
        weir_gpu_health_set(ret_health, WEIR_GPU_ERROR_EVENTS, (double)(errors - r->first_errors));
    }
}

const struct weir_gpu_monitor_api weir_rocm_smi_monitor = {
    .open = open_monitor,
    .close = close_monitor,
    .read = read_monitor,
};
