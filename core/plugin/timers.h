/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Timers in a binary heap, earliest first, each in memory of its owner.
 *
 * Why: the plugin host needs timers that run as well on a virtual clock (`weir plugin test`) as
 * under libuv, and that a request can arm without an allocation that may fail half-way. Ownership:
 * a timer belongs to its owner and stays put while it is armed; the heap owns its array. Threads:
 * none; the loop that has the heap holds its own lock. Errors: WEIR_E_NOMEM when the array cannot
 * grow. Invariant: heap[t->at - 1] == t for every armed timer t. */
#include <stdbool.h>

#include "weir/types.h"

struct weir_plugin_timer {
    uint64_t due_us;
    uint64_t repeat_us; /* 0: once */
    void (*fn)(struct weir_plugin_timer *);
    size_t at; /* place in the heap, from 1; 0: not armed */
};

struct weir_plugin_timers {
    struct weir_plugin_timer **heap;
    size_t n, cap;
};

void weir_plugin_timers_finish(struct weir_plugin_timers *ts);
/* t->due_us is set; t must not be armed. */
int weir_plugin_timers_add(struct weir_plugin_timers *ts, struct weir_plugin_timer *t);
/* False when it was not armed. */
bool weir_plugin_timers_remove(struct weir_plugin_timers *ts, struct weir_plugin_timer *t);
/* The earliest, or NULL. */
struct weir_plugin_timer *weir_plugin_timers_first(const struct weir_plugin_timers *ts);
