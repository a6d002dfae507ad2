/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cuda/nvml.h"

#include <dlfcn.h>
#include <stdlib.h>

typedef void *nvml_device;
typedef void *nvml_event_set;

struct nvml_utilization {
    unsigned gpu, memory; /* percent */
};

struct nvml_memory {
    unsigned long long total, free, used;
};

struct nvml_event {
    nvml_device device;
    unsigned long long type, data; /* data: the Xid */
    unsigned gpu_instance, compute_instance;
};

enum {
    NVML_TEMPERATURE_GPU = 0,
    NVML_ERROR_UNCORRECTED = 1,
    NVML_ECC_VOLATILE = 0,
    NVML_EVENT_XID = 8,
    EVENTS_AT_ONCE = 16
};

/* Power cap in software, slowdown in hardware, heat in both, power brake. */
static const unsigned long long THROTTLED = 0x4 | 0x8 | 0x20 | 0x40 | 0x80;

struct nvml {
    void *library;
    int (*init)(void);
    int (*shutdown)(void);
    int (*by_uuid)(const char *uuid, nvml_device *device);
    int (*utilization)(nvml_device device, struct nvml_utilization *u);
    int (*memory)(nvml_device device, struct nvml_memory *m);
    int (*power)(nvml_device device, unsigned *milliwatts);
    int (*temperature)(nvml_device device, int sensor, unsigned *degrees);
    int (*throttle)(nvml_device device, unsigned long long *reasons);
    int (*ecc)(nvml_device device, int kind, int counter, unsigned long long *n);
    int (*event_set_create)(nvml_event_set *set);
    int (*event_set_free)(nvml_event_set set);
    int (*register_events)(nvml_device device, unsigned long long types, nvml_event_set set);
    int (*event_wait)(nvml_event_set set, struct nvml_event *event, unsigned timeout_ms);

    nvml_device device;
    nvml_event_set events; /* NULL: the driver gives none */
    uint64_t n_events, last_event;
};

static const char *const symbols[] = {
    "nvmlInit_v2",
    "nvmlShutdown",
    "nvmlDeviceGetHandleByUUID",
    "nvmlDeviceGetUtilizationRates",
    "nvmlDeviceGetMemoryInfo",
    "nvmlDeviceGetPowerUsage",
    "nvmlDeviceGetTemperature",
    "nvmlDeviceGetCurrentClocksThrottleReasons",
    "nvmlDeviceGetTotalEccErrors",
    "nvmlEventSetCreate",
    "nvmlEventSetFree",
    "nvmlDeviceRegisterEvents",
    "nvmlEventSetWait_v2",
};

/* Fills the members from `init` on, in the order of symbols[]; absent ones stay NULL. */
static void find_symbols(struct nvml *n)
{
    void **member = (void **)(void *)&n->init;
    for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
        member[i] = dlsym(n->library, symbols[i]);
    }
}

static void watch_events(struct nvml *n)
{
    if (!n->event_set_create || !n->event_set_free || !n->register_events || !n->event_wait ||
        n->event_set_create(&n->events) != 0) {
        n->events = NULL;
    } else if (n->register_events(n->device, NVML_EVENT_XID, n->events) != 0) {
        n->event_set_free(n->events);
        n->events = NULL;
    }
}

static void *open_monitor(const char *id)
{
    struct nvml *n = calloc(1, sizeof(*n));
    if (!n) {
        return NULL;
    }
    n->library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!n->library) {
        free(n);
        return NULL;
    }
    find_symbols(n);
    if (!n->init || !n->shutdown || !n->by_uuid || n->init() != 0) {
        dlclose(n->library);
        free(n);
        return NULL;
    }
    if (n->by_uuid(id, &n->device) != 0) {
        n->shutdown();
        dlclose(n->library);
        free(n);
        return NULL;
    }
    watch_events(n);
    return n;
}

static void close_monitor(void *monitor)
{
    struct nvml *n = monitor;
    if (!n) {
        return;
    }
    if (n->events) {
        n->event_set_free(n->events);
    }
    n->shutdown();
    dlclose(n->library);
    free(n);
}

static void take_events(struct nvml *n)
{
    struct nvml_event event;
    for (int i = 0; i < EVENTS_AT_ONCE && n->event_wait(n->events, &event, 0) == 0; i++) {
        n->n_events++;
        n->last_event = event.data;
    }
}

static void read_monitor(void *monitor, struct weir_gpu_health *ret_health)
{
    struct nvml *n = monitor;
    struct nvml_utilization utilization;
    struct nvml_memory memory;
    unsigned value = 0;
    unsigned long long wide = 0;
    *ret_health = (struct weir_gpu_health){0};
    if (n->utilization && n->utilization(n->device, &utilization) == 0) {
        weir_gpu_health_set(ret_health, WEIR_GPU_UTILIZATION, utilization.gpu / 100.0);
    }
    if (n->memory && n->memory(n->device, &memory) == 0) {
        weir_gpu_health_set(ret_health, WEIR_GPU_MEMORY_USED, (double)memory.used);
        weir_gpu_health_set(ret_health, WEIR_GPU_MEMORY_TOTAL, (double)memory.total);
    }
    if (n->power && n->power(n->device, &value) == 0) {
        weir_gpu_health_set(ret_health, WEIR_GPU_POWER, value / 1000.0);
    }
    if (n->temperature && n->temperature(n->device, NVML_TEMPERATURE_GPU, &value) == 0) {
        weir_gpu_health_set(ret_health, WEIR_GPU_TEMPERATURE, value);
    }
    if (n->throttle && n->throttle(n->device, &wide) == 0) {
        weir_gpu_health_set(ret_health, WEIR_GPU_THROTTLED, (wide & THROTTLED) != 0);
    }
    if (n->ecc && n->ecc(n->device, NVML_ERROR_UNCORRECTED, NVML_ECC_VOLATILE, &wide) == 0) {
        weir_gpu_health_set(ret_health, WEIR_GPU_ECC_UNCORRECTED, (double)wide);
    }
    if (n->events) {
        take_events(n);
        weir_gpu_health_set(ret_health, WEIR_GPU_ERROR_EVENTS, (double)n->n_events);
        weir_gpu_health_set(ret_health, WEIR_GPU_LAST_ERROR_EVENT, (double)n->last_event);
    }
}

const struct weir_gpu_monitor_api weir_nvml_monitor = {
    .open = open_monitor,
    .close = close_monitor,
    .read = read_monitor,
};
