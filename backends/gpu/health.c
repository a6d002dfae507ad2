/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/gpu/health.h"

const char *const weir_gpu_figure_names[WEIR_GPU_FIGURE__COUNT] = {
    [WEIR_GPU_UTILIZATION] = "gpu_utilization",
    [WEIR_GPU_MEMORY_USED] = "gpu_memory_used_bytes",
    [WEIR_GPU_MEMORY_TOTAL] = "gpu_memory_total_bytes",
    [WEIR_GPU_POWER] = "gpu_power_watts",
    [WEIR_GPU_TEMPERATURE] = "gpu_temperature_celsius",
    [WEIR_GPU_THROTTLED] = "gpu_throttled",
    [WEIR_GPU_ECC_UNCORRECTED] = "gpu_ecc_uncorrected",
    [WEIR_GPU_ERROR_EVENTS] = "gpu_error_events",
    [WEIR_GPU_LAST_ERROR_EVENT] = "gpu_last_error_event",
};
