/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the vendor's management library says of a device: load, memory, power, heat, faults.
 *
 * Why: an operator must see a device that throttles or counts memory errors before its requests do.
 * The library is opened at run time; without it a device works and simply shows fewer figures.
 * Ownership: open() gives a monitor that close() ends. Threads: read() from any, one at a time per
 * monitor; the caller locks.
 * Errors: open() returns NULL where the library or the device is not there. */
#include <stdint.h>

enum weir_gpu_figure {
    WEIR_GPU_UTILIZATION,      /* 0..1, share of time in which a kernel ran */
    WEIR_GPU_MEMORY_USED,      /* bytes, of all processes */
    WEIR_GPU_MEMORY_TOTAL,     /* bytes */
    WEIR_GPU_POWER,            /* watts */
    WEIR_GPU_TEMPERATURE,      /* degrees Celsius */
    WEIR_GPU_THROTTLED,        /* 1: clocks are held down by heat or power, else 0 */
    WEIR_GPU_ECC_UNCORRECTED,  /* memory errors that were not corrected, since the driver began */
    WEIR_GPU_ERROR_EVENTS,     /* Xid or RAS events seen since open */
    WEIR_GPU_LAST_ERROR_EVENT, /* number of the last one */
    WEIR_GPU_FIGURE__COUNT
};

/* Names of the figures as weir_backend_step.stats gives them ("gpu_utilization"). */
extern const char *const weir_gpu_figure_names[WEIR_GPU_FIGURE__COUNT];

struct weir_gpu_health {
    uint32_t known; /* bit i: values[i] holds */
    double values[WEIR_GPU_FIGURE__COUNT];
};

static inline void weir_gpu_health_set(struct weir_gpu_health *h, enum weir_gpu_figure figure,
                                       double value)
{
    h->known |= 1u << figure;
    h->values[figure] = value;
}

struct weir_gpu_monitor_api {
    /* id: the device's UUID or PCI address, as the device list gives it. */
    void *(*open)(const char *id);
    void (*close)(void *monitor); /* NULL ok */
    void (*read)(void *monitor, struct weir_gpu_health *ret_health);
};
