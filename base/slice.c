/* SPDX-License-Identifier: Apache-2.0 */
#include "slice.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

void weir_slice_wish(uint32_t us)
{
    struct { /* struct sched_attr of sched_setattr(2); libcs differ in where they declare it */
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime_ns, deadline_ns, period_ns;
    } attr = {0};
    if (syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0) == 0 && attr.policy == SCHED_OTHER) {
        attr.size = sizeof(attr);
        attr.runtime_ns = (uint64_t)us * 1000;
        (void)syscall(SYS_sched_setattr, 0, &attr, 0);
    }
}
