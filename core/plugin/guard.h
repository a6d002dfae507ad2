/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Time and failures of one plugin instance, and its quarantine.
 *
 * Why: a plugin that breaks or overruns again and again must not slow or fail every request. After
 * `max_failures` failures within `window_us` it is quarantined for `cool_down_us`: its hooks are
 * not called, and on_error decides what that means. Then it is tried again; one more failure within
 * the window quarantines it anew, a window without failure clears it. Times may come from clocks
 * that differ by a tick. Threads: [any]; what every hook counts is counted for each loop by itself,
 * so that workers share no line of the cache and need no locked instruction. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "weir/types.h"

enum weir_plugin_hook {
    WEIR_HOOK_HEADERS,
    WEIR_HOOK_BODY,
    WEIR_HOOK_ROUTE,
    WEIR_HOOK_ADMIT,
    WEIR_HOOK_REPLAY,
    WEIR_HOOK_RESUME,
    WEIR_HOOK_CHUNK,
    WEIR_HOOK_DELIVERED,
    WEIR_HOOK_COMPLETE,
    WEIR_HOOK__COUNT,
};
const char *weir_plugin_hook_name(enum weir_plugin_hook hook); /* "headers" */

struct weir_plugin_limits {
    uint32_t max_failures;   /* 1..16; 0: 5 */
    uint64_t window_us;      /* 0: 60 s */
    uint64_t cool_down_us;   /* 0: 30 s */
    uint64_t hook_budget_us; /* 0: 50 ms; a longer hook counts as a failure */
};

enum { WEIR_GUARD_MAX_FAILURES = 16 };

/* What one loop counted; the last lane is that of all loops for which there is none. */
enum { WEIR_GUARD_LANES = 64 };
static inline uint32_t weir_guard_lane_of(uint32_t loop_number)
{
    return loop_number < WEIR_GUARD_LANES - 1 ? loop_number : WEIR_GUARD_LANES - 1;
}
struct weir_guard_lane {
    _Atomic uint64_t calls[WEIR_HOOK__COUNT], ns[WEIR_HOOK__COUNT];
    uint64_t apart[6]; /* the next one begins on another line of the cache */
};

struct weir_plugin_guard {
    struct weir_plugin_limits limits;
    struct weir_guard_lane lanes[WEIR_GUARD_LANES];
    _Atomic uint64_t failures, overruns, quarantines;
    _Atomic uint64_t quarantined_until_us;       /* 0: not */
    pthread_mutex_t lock;                        /* failed_us */
    uint64_t failed_us[WEIR_GUARD_MAX_FAILURES]; /* ring of the latest failures */
    uint32_t n_failed;
};

int weir_plugin_guard_init(struct weir_plugin_guard *g, struct weir_plugin_limits limits);
void weir_plugin_guard_finish(struct weir_plugin_guard *g);

/* Has it ever been in quarantine? Most never are, and need not look at the clock. */
static inline bool weir_plugin_guard_was_closed(const struct weir_plugin_guard *g)
{
    return atomic_load_explicit(&g->quarantined_until_us, memory_order_relaxed) != 0;
}
/* May a hook be called now? */
bool weir_plugin_guard_admits(struct weir_plugin_guard *g, uint64_t now_us);
/* Over all loops. */
uint64_t weir_plugin_guard_calls(const struct weir_plugin_guard *g, enum weir_plugin_hook hook);
uint64_t weir_plugin_guard_ns(const struct weir_plugin_guard *g, enum weir_plugin_hook hook);

/* Relaxed: each number is read by itself. One's own nobody else writes. */
static inline void weir_guard_add(_Atomic uint64_t *to, uint64_t n, bool is_own)
{
    if (is_own) {
        uint64_t before = atomic_load_explicit(to, memory_order_relaxed);
        atomic_store_explicit(to, before + n, memory_order_relaxed);
    } else {
        atomic_fetch_add_explicit(to, n, memory_order_relaxed);
    }
}

/* A hook ended, on the thread of a loop of this lane; its time counts `weight` times, 0: not. */
static inline void weir_plugin_guard_count(struct weir_plugin_guard *g, uint32_t lane_number,
                                           enum weir_plugin_hook hook, uint64_t spent_ns,
                                           uint32_t weight)
{
    bool is_own = lane_number < WEIR_GUARD_LANES - 1;
    struct weir_guard_lane *lane = &g->lanes[lane_number];
    weir_guard_add(&lane->calls[hook], 1, is_own);
    if (weight) {
        weir_guard_add(&lane->ns[hook], spent_ns * weight, is_own);
    }
}

/* … and it failed, or took so long that it may have overrun. True when this call put the plugin
 * into quarantine. */
bool weir_plugin_guard_judge(struct weir_plugin_guard *g, uint64_t spent_ns, uint64_t end_ns,
                             bool failed);
