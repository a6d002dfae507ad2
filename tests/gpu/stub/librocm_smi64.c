/* SPDX-License-Identifier: Apache-2.0 */
/* A librocm_smi64.so.7 for the stub runtime's devices, with figures on demand (fault.h). It numbers
 * them the other way round, as the two libraries need not agree. */
#include "tests/gpu/stub/fault.h"

#define EXPORT __attribute__((visibility("default")))

#define FUNCTION(name, ...)                                                                        \
    EXPORT int name(__VA_ARGS__);                                                                  \
    int name(__VA_ARGS__)

enum { SUCCESS = 0, INVALID = 1, N_DEVICES = 2, PARTITION = 3 };

static uint32_t number_of(uint32_t index)
{
    return N_DEVICES - 1 - index;
}

FUNCTION(rsmi_init, uint64_t flags)
{
    return flags == 0 ? SUCCESS : INVALID;
}
FUNCTION(rsmi_shut_down, void)
{
    return SUCCESS;
}
FUNCTION(rsmi_num_monitor_devices, uint32_t *n)
{
    *n = N_DEVICES;
    return SUCCESS;
}
FUNCTION(rsmi_dev_pci_id_get, uint32_t index, uint64_t *id)
{
    *id = (uint64_t)PARTITION << 28 | (uint64_t)number_of(index) << 8;
    return SUCCESS;
}
FUNCTION(rsmi_dev_busy_percent_get, uint32_t index, uint32_t *percent)
{
    *percent = (uint32_t)fault_value("busy", 60) + 10 * number_of(index);
    return SUCCESS;
}
FUNCTION(rsmi_dev_memory_total_get, uint32_t index, int kind, uint64_t *bytes)
{
    (void)index;
    *bytes = 1000;
    return kind == 0 ? SUCCESS : INVALID;
}
FUNCTION(rsmi_dev_memory_usage_get, uint32_t index, int kind, uint64_t *bytes)
{
    *bytes = 300 + number_of(index);
    return kind == 0 ? SUCCESS : INVALID;
}
FUNCTION(rsmi_dev_power_ave_get, uint32_t index, uint32_t sensor, uint64_t *microwatts)
{
    *microwatts = 500000000 + 1000000 * (uint64_t)number_of(index);
    return sensor == 0 ? SUCCESS : INVALID;
}
FUNCTION(rsmi_dev_temp_metric_get, uint32_t index, uint32_t sensor, int metric,
         int64_t *millidegrees)
{
    *millidegrees = 70000 + 1000 * (int64_t)number_of(index);
    return sensor == 1 && metric == 0 ? SUCCESS : INVALID;
}
FUNCTION(rsmi_dev_ecc_count_get, uint32_t index, uint64_t block, uint64_t *correctable_and_not)
{
    (void)index;
    correctable_and_not[0] = 7;
    correctable_and_not[1] = (uint64_t)fault_value("ecc", 0);
    return block == 1 ? SUCCESS : INVALID;
}
FUNCTION(rsmi_dev_metrics_throttle_status_get, uint32_t index, uint32_t *status)
{
    (void)index;
    *status = (uint32_t)fault_value("throttle", 0);
    return SUCCESS;
}
