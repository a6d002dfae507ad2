/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Health of NVIDIA devices through NVML (libnvidia-ml.so.1), opened at run time.
 * The few prototypes are declared here, as the driver's ABI fixes them; no NVIDIA header is used.
 */
#include "backends/gpu/health.h"

extern const struct weir_gpu_monitor_api weir_nvml_monitor;
