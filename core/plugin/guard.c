/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/guard.h"

#include <string.h>

enum {
    DEFAULT_MAX_FAILURES = 5,
    DEFAULT_WINDOW_US = 60 * 1000000,
    DEFAULT_COOL_DOWN_US = 30 * 1000000,
    DEFAULT_HOOK_BUDGET_US = 50 * 1000,
};

const char *weir_plugin_hook_name(enum weir_plugin_hook hook)
{
    static const char *const names[WEIR_HOOK__COUNT] = {
        "headers", "body", "route", "admit", "replay", "resume", "chunk", "delivered", "complete",
    };
    return names[hook];
}

int weir_plugin_guard_init(struct weir_plugin_guard *g, struct weir_plugin_limits limits)
{
    memset(g, 0, sizeof(*g));
    g->limits = limits;
    struct weir_plugin_limits *l = &g->limits;
    l->max_failures = l->max_failures ? l->max_failures : DEFAULT_MAX_FAILURES;
    l->window_us = l->window_us ? l->window_us : DEFAULT_WINDOW_US;
    l->cool_down_us = l->cool_down_us ? l->cool_down_us : DEFAULT_COOL_DOWN_US;
    l->hook_budget_us = l->hook_budget_us ? l->hook_budget_us : DEFAULT_HOOK_BUDGET_US;
    if (l->max_failures > WEIR_GUARD_MAX_FAILURES) {
        l->max_failures = WEIR_GUARD_MAX_FAILURES;
    }
    return pthread_mutex_init(&g->lock, NULL) == 0 ? 0 : WEIR_E_NOMEM;
}

void weir_plugin_guard_finish(struct weir_plugin_guard *g)
{
    pthread_mutex_destroy(&g->lock);
}

bool weir_plugin_guard_admits(struct weir_plugin_guard *g, uint64_t now_us)
{
    return now_us >= atomic_load_explicit(&g->quarantined_until_us, memory_order_relaxed);
}

/* Under the lock. After a quarantine the ring still holds the older failures, so that one more
 * within the window is enough to quarantine again. */
static bool note_failure(struct weir_plugin_guard *g, uint64_t now_us)
{
    uint32_t max = g->limits.max_failures;
    g->failed_us[g->n_failed % max] = now_us;
    g->n_failed++;
    if (g->n_failed < max) {
        return false;
    }
    uint64_t oldest = g->failed_us[g->n_failed % max];
    uint64_t until = atomic_load_explicit(&g->quarantined_until_us, memory_order_relaxed);
    if (now_us > oldest + g->limits.window_us || now_us < until) {
        return false;
    }
    for (uint32_t i = 0; i < max; i++) { /* the window starts again at the end of the cool-down */
        g->failed_us[i] = now_us + g->limits.cool_down_us;
    }
    atomic_store_explicit(&g->quarantined_until_us, now_us + g->limits.cool_down_us,
                          memory_order_relaxed);
    atomic_fetch_add_explicit(&g->quarantines, 1, memory_order_relaxed);
    return true;
}

uint64_t weir_plugin_guard_calls(const struct weir_plugin_guard *g, enum weir_plugin_hook hook)
{
    uint64_t n = 0;
    for (int i = 0; i < WEIR_GUARD_LANES; i++) {
        n += atomic_load_explicit(&g->lanes[i].calls[hook], memory_order_relaxed);
    }
    return n;
}

uint64_t weir_plugin_guard_ns(const struct weir_plugin_guard *g, enum weir_plugin_hook hook)
{
    uint64_t ns = 0;
    for (int i = 0; i < WEIR_GUARD_LANES; i++) {
        ns += atomic_load_explicit(&g->lanes[i].ns[hook], memory_order_relaxed);
    }
    return ns;
}

bool weir_plugin_guard_judge(struct weir_plugin_guard *g, uint64_t spent_ns, uint64_t end_ns,
                             bool failed)
{
    bool overran = spent_ns / 1000 > g->limits.hook_budget_us;
    if (failed) {
        atomic_fetch_add_explicit(&g->failures, 1, memory_order_relaxed);
    }
    if (overran) {
        atomic_fetch_add_explicit(&g->overruns, 1, memory_order_relaxed);
    }
    if (!failed && !overran) {
        return false;
    }
    pthread_mutex_lock(&g->lock);
    bool quarantined = note_failure(g, end_ns / 1000);
    pthread_mutex_unlock(&g->lock);
    return quarantined;
}
