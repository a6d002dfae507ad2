/* SPDX-License-Identifier: Apache-2.0 */
/* When a processor was away: on a virtual machine the host takes it, for milliseconds, and nothing
 * in the machine can tell but by a clock that jumps.
 *
 * A thread on the processor, before every other work (SCHED_FIFO; needs root), sleeps for a period
 * and looks at the clock. What it finds more than the slack late, nothing could run there. Holds of
 * less than period and slack together may be missed. The table is full after MAX_STALLS; then the
 * oldest stay and the rest is lost. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum { MAX_STALLS = 65536 };

struct stall {
    uint64_t from_ns, to_ns;
};

struct stalls {
    int cpu;
    clockid_t clock; /* of the times */
    uint64_t period_ns, slack_ns;
    void (*found)(int cpu, struct stall stall); /* called on the thread; NULL: kept below */
    pthread_t thread;
    atomic_bool ends;
    size_t n;
    struct stall kept[MAX_STALLS];
};

/* Watches `cpu` until stalls_stop(). False: not allowed. */
bool stalls_start(struct stalls *stalls);

/* `n` and `kept` may be read after it. */
void stalls_stop(struct stalls *stalls);
