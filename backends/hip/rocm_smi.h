/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Health of AMD devices through ROCm SMI (librocm_smi64.so), opened at run time. Devices are found
 * by their PCI address. The few prototypes are declared in the source, as the library's ABI fixes
 * them. */
#include "backends/gpu/health.h"

extern const struct weir_gpu_monitor_api weir_rocm_smi_monitor;
