/* SPDX-License-Identifier: Apache-2.0 */
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "backends/cpu/pool.h"

/* quota / period of the cgroup, rounded up; 0: no limit or not known. */
static uint32_t quota_v2(void)
{
    char path[512] = "";
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (!f) {
        return 0;
    }
    char line[400];
    while (fgets(line, sizeof(line), f)) {
        if (strncmp(line, "0::/", 4) == 0) {
            line[strcspn(line, "\n")] = '\0';
            snprintf(path, sizeof(path), "/sys/fs/cgroup%s/cpu.max", line + 3);
        }
    }
    fclose(f);
    f = path[0] ? fopen(path, "re") : NULL;
    if (!f) { /* in a container the own group is mounted as the root */
        f = fopen("/sys/fs/cgroup/cpu.max", "re");
    }
    if (!f) {
        return 0;
    }
    long quota_us = 0;
    long period_us = 0;
    int n = fscanf(f, "%ld %ld", &quota_us, &period_us); /* "max 100000" matches nothing */
    fclose(f);
    if (n != 2 || quota_us <= 0 || period_us <= 0) {
        return 0;
    }
    return (uint32_t)((quota_us + period_us - 1) / period_us);
}

static uint32_t quota_v1(void)
{
    long quota_us = -1;
    long period_us = 0;
    FILE *f = fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "re");
    if (f) {
        if (fscanf(f, "%ld", &quota_us) != 1) {
            quota_us = -1;
        }
        fclose(f);
    }
    f = fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "re");
    if (f) {
        if (fscanf(f, "%ld", &period_us) != 1) {
            period_us = 0;
        }
        fclose(f);
    }
    if (quota_us <= 0 || period_us <= 0) {
        return 0;
    }
    return (uint32_t)((quota_us + period_us - 1) / period_us);
}

uint32_t weir_cpu_count(void)
{
    cpu_set_t set;
    uint32_t n = 1;
    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0) {
        n = (uint32_t)CPU_COUNT(&set);
    }
    uint32_t quota = quota_v2();
    if (quota == 0) {
        quota = quota_v1();
    }
    return quota > 0 && quota < n ? quota : n;
}
