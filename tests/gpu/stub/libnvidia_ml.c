/* SPDX-License-Identifier: Apache-2.0 */
/* A libnvidia-ml.so.1 for the stub driver's devices, with figures on demand (fault.h). A device's
 * handle is its number and one. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gpu/stub/fault.h"

#define EXPORT __attribute__((visibility("default")))

#define FUNCTION(name, ...)                                                                        \
    EXPORT int name(__VA_ARGS__);                                                                  \
    int name(__VA_ARGS__)

enum { SUCCESS = 0, NOT_FOUND = 6, TIMEOUT = 10, EVENT_XID = 8 };

struct event {
    void *device;
    unsigned long long type, data;
    unsigned gpu_instance, compute_instance;
};

static int event_set;
static atomic_llong last_xid;

static unsigned long long number_of(const void *device)
{
    return (unsigned long long)(uintptr_t)device - 1;
}

FUNCTION(nvmlInit_v2, void)
{
    return SUCCESS;
}
FUNCTION(nvmlShutdown, void)
{
    return SUCCESS;
}
FUNCTION(nvmlDeviceGetHandleByUUID, const char *uuid, void **device)
{
    *device = (void *)(uintptr_t)(strtoull(strrchr(uuid, '-') + 1, NULL, 16) + 1);
    return strncmp(uuid, "GPU-", 4) == 0 ? SUCCESS : NOT_FOUND;
}
FUNCTION(nvmlDeviceGetUtilizationRates, void *device, unsigned *rates)
{
    rates[0] = (unsigned)fault_value("busy", 60) + 10 * (unsigned)number_of(device);
    rates[1] = 5;
    return SUCCESS;
}
FUNCTION(nvmlDeviceGetMemoryInfo, void *device, unsigned long long *total_free_used)
{
    total_free_used[0] = 1000;
    total_free_used[2] = 300 + number_of(device);
    total_free_used[1] = total_free_used[0] - total_free_used[2];
    return SUCCESS;
}
FUNCTION(nvmlDeviceGetPowerUsage, void *device, unsigned *milliwatts)
{
    *milliwatts = 500000 + 1000 * (unsigned)number_of(device);
    return SUCCESS;
}
FUNCTION(nvmlDeviceGetTemperature, void *device, int sensor, unsigned *degrees)
{
    *degrees = 70 + (unsigned)number_of(device);
    return sensor == 0 ? SUCCESS : NOT_FOUND;
}
FUNCTION(nvmlDeviceGetCurrentClocksThrottleReasons, void *device, unsigned long long *reasons)
{
    (void)device;
    *reasons = 1 | (unsigned long long)fault_value("throttle", 0); /* 1: idle, no fault */
    return SUCCESS;
}
FUNCTION(nvmlDeviceGetTotalEccErrors, void *device, int kind, int counter, unsigned long long *n)
{
    (void)device;
    *n = (unsigned long long)fault_value("ecc", 0);
    return kind == 1 && counter == 0 ? SUCCESS : NOT_FOUND;
}
FUNCTION(nvmlEventSetCreate, void **set)
{
    *set = &event_set;
    return SUCCESS;
}
FUNCTION(nvmlEventSetFree, void *set)
{
    return set == &event_set ? SUCCESS : NOT_FOUND;
}
FUNCTION(nvmlDeviceRegisterEvents, void *device, unsigned long long types, void *set)
{
    (void)device;
    return types == EVENT_XID && set == &event_set ? SUCCESS : NOT_FOUND;
}
/* Each number that the fault file names is one event. */
FUNCTION(nvmlEventSetWait_v2, void *set, struct event *event, unsigned timeout_ms)
{
    (void)timeout_ms;
    long long xid = fault_value("xid", 0);
    if (set != &event_set || xid == 0 || atomic_exchange(&last_xid, xid) == xid) {
        return TIMEOUT;
    }
    *event = (struct event){.type = EVENT_XID, .data = (unsigned long long)xid};
    return SUCCESS;
}
