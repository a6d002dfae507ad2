/* SPDX-License-Identifier: Apache-2.0 */
#include "health.h"

#include <stdlib.h>

enum { FIRST_SHARE_PPM = WEIR_BALANCE_FULL_SHARE / 10 };

enum check { NOT_CHECKED, CHECK_PENDING, CHECK_GOOD, CHECK_BAD };

struct target {
    _Atomic uint32_t n_in_a_row;    /* errors */
    _Atomic uint64_t n_good, n_bad; /* ever */
    _Atomic uint64_t ejected_until_us, postponed_until_us;
    _Atomic uint32_t check; /* enum check */
    _Atomic uint32_t permits;
    _Atomic uint32_t state; /* of the last refresh */
    _Atomic uint64_t n_ejections[WEIR_HEALTH_CAUSES];
    /* By refresh only: */
    uint64_t window_start_us, window_good, window_bad;
    uint64_t ramp_from_us; /* 0: no slow start under way */
    bool is_up, was_up_once;
    /* Guarded by the one who ejects: */
    _Atomic uint32_t n_times;       /* ejections not forgiven yet: each makes the next longer */
    _Atomic uint64_t forgive_at_us; /* good so long: one is forgiven */
};

struct weir_health {
    struct weir_health_config config;
    struct target targets[WEIR_BALANCE_MAX_TARGETS];
    uint32_t n_targets;
    _Atomic uint64_t ejected; /* bits */
};

int weir_health_create(const struct weir_health_config *config, struct weir_health **ret_health)
{
    struct weir_health *h = calloc(1, sizeof(*h));
    if (!h) {
        return WEIR_E_NOMEM;
    }
    h->config = *config;
    *ret_health = h;
    return 0;
}

void weir_health_destroy(struct weir_health *h)
{
    free(h);
}

void weir_health_add(struct weir_health *h, bool is_checked)
{
    struct target *t = &h->targets[h->n_targets++];
    atomic_store_explicit(&t->check, is_checked ? CHECK_PENDING : NOT_CHECKED,
                          memory_order_relaxed);
    atomic_store_explicit(&t->permits, UINT32_MAX, memory_order_relaxed);
}

/* Takes one of the ejections there may be at a time. */
static bool mark_ejected(struct weir_health *h, uint32_t target)
{
    uint64_t bit = UINT64_C(1) << target;
    uint32_t most = h->n_targets * h->config.max_ejected_percent / 100;
    most = most == 0 ? 1 : most;
    most = most < h->n_targets ? most : h->n_targets - 1; /* one is left */
    uint64_t old = atomic_load_explicit(&h->ejected, memory_order_relaxed);
    do {
        if (old & bit || (uint32_t)__builtin_popcountll(old) >= most) {
            return false;
        }
    } while (!atomic_compare_exchange_weak(&h->ejected, &old, old | bit));
    return true;
}

static bool eject(struct weir_health *h, uint32_t target, enum weir_health_cause cause,
                  uint64_t now_us)
{
    struct target *t = &h->targets[target];
    if (!mark_ejected(h, target)) {
        return false;
    }
    uint64_t times = atomic_fetch_add_explicit(&t->n_times, 1, memory_order_relaxed) + 1;
    uint64_t ms = times * h->config.eject_ms;
    ms = ms < h->config.max_eject_ms ? ms : h->config.max_eject_ms;
    atomic_store_explicit(&t->ejected_until_us, now_us + ms * 1000, memory_order_relaxed);
    atomic_store_explicit(&t->n_in_a_row, 0, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&t->n_ejections[cause], 1, memory_order_relaxed);
    return true;
}

bool weir_health_report(struct weir_health *h, uint32_t target, bool is_good, uint64_t now_us)
{
    struct target *t = &h->targets[target];
    (void)atomic_fetch_add_explicit(is_good ? &t->n_good : &t->n_bad, 1, memory_order_relaxed);
    if (is_good) {
        if (atomic_load_explicit(&t->n_in_a_row, memory_order_relaxed) != 0) {
            atomic_store_explicit(&t->n_in_a_row, 0, memory_order_relaxed);
        }
        return false;
    }
    uint32_t n = atomic_fetch_add_explicit(&t->n_in_a_row, 1, memory_order_relaxed) + 1;
    return h->config.consecutive_errors && n >= h->config.consecutive_errors &&
           eject(h, target, WEIR_HEALTH_BY_ERRORS, now_us);
}

void weir_health_postpone(struct weir_health *h, uint32_t target, uint64_t until_us)
{
    _Atomic uint64_t *until = &h->targets[target].postponed_until_us;
    uint64_t old = atomic_load_explicit(until, memory_order_relaxed);
    while (old < until_us && !atomic_compare_exchange_weak(until, &old, until_us)) {
    }
}

void weir_health_set_checked(struct weir_health *h, uint32_t target, bool is_good)
{
    _Atomic uint32_t *check = &h->targets[target].check;
    uint32_t old = atomic_load_explicit(check, memory_order_relaxed);
    uint32_t now = is_good ? CHECK_GOOD : old == CHECK_PENDING ? CHECK_PENDING : CHECK_BAD;
    atomic_store_explicit(check, now, memory_order_relaxed);
}

void weir_health_set_permits(struct weir_health *h, uint32_t target, uint32_t permits)
{
    struct target *t = &h->targets[target];
    uint32_t before = atomic_exchange_explicit(&t->permits, permits, memory_order_relaxed);
    if (permits == UINT32_MAX && before != UINT32_MAX &&
        atomic_load_explicit(&t->ejected_until_us, memory_order_relaxed)) {
        /* It was tried and found good: what it is ejected for is over. */
        atomic_store_explicit(&t->ejected_until_us, 1, memory_order_relaxed);
    }
}

static void end_window(struct weir_health *h, uint32_t target, uint64_t now_us)
{
    struct target *t = &h->targets[target];
    if (now_us - t->window_start_us < (uint64_t)h->config.window_ms * 1000) {
        return;
    }
    uint64_t good = atomic_load_explicit(&t->n_good, memory_order_relaxed);
    uint64_t bad = atomic_load_explicit(&t->n_bad, memory_order_relaxed);
    uint64_t n_good = good - t->window_good, n = n_good + bad - t->window_bad;
    t->window_start_us = now_us;
    t->window_good = good;
    t->window_bad = bad;
    if (h->config.success_percent && n >= h->config.min_requests && n > 0 &&
        n_good * 100 < n * h->config.success_percent) {
        (void)eject(h, target, WEIR_HEALTH_BY_RATE, now_us);
    }
}

static void end_ejection(struct weir_health *h, uint32_t target, uint64_t now_us)
{
    struct target *t = &h->targets[target];
    uint64_t bit = UINT64_C(1) << target;
    bool is_ejected = (atomic_load_explicit(&h->ejected, memory_order_relaxed) & bit) != 0;
    /* Set after the bit: 0 while the ejection is being written down. */
    uint64_t until_us = atomic_load_explicit(&t->ejected_until_us, memory_order_relaxed);
    if (is_ejected && until_us && now_us >= until_us) {
        atomic_store_explicit(&t->ejected_until_us, 0, memory_order_relaxed);
        t->forgive_at_us = now_us + (uint64_t)h->config.eject_ms * 1000 * 2;
        (void)atomic_fetch_and_explicit(&h->ejected, ~bit, memory_order_relaxed);
    } else if (!is_ejected && t->n_times > 0 && now_us >= t->forgive_at_us) {
        (void)atomic_fetch_sub_explicit(&t->n_times, 1, memory_order_relaxed);
        t->forgive_at_us = now_us + (uint64_t)h->config.eject_ms * 1000;
    }
}

static enum weir_health_state state_of(const struct weir_health *h, uint32_t target, bool runs,
                                       uint64_t now_us)
{
    const struct target *t = &h->targets[target];
    uint32_t check = atomic_load_explicit(&t->check, memory_order_relaxed);
    uint32_t permits = atomic_load_explicit(&t->permits, memory_order_relaxed);
    if (!runs) {
        return WEIR_HEALTH_DOWN;
    }
    if (check == CHECK_PENDING) {
        return WEIR_HEALTH_UNCHECKED;
    }
    if (check == CHECK_BAD) {
        return WEIR_HEALTH_UNHEALTHY;
    }
    if (permits == 0) {
        return WEIR_HEALTH_OPEN;
    }
    bool is_ejected = atomic_load_explicit(&h->ejected, memory_order_relaxed) >> target & 1;
    if (is_ejected && permits == UINT32_MAX) { /* a breaker's trial is not kept away */
        return WEIR_HEALTH_EJECTED;
    }
    if (now_us < atomic_load_explicit(&t->postponed_until_us, memory_order_relaxed)) {
        return WEIR_HEALTH_POSTPONED;
    }
    return permits != UINT32_MAX ? WEIR_HEALTH_HALF_OPEN : WEIR_HEALTH_READY;
}

/* From a tenth to all of its weight; who comes for the first time has nothing to be careful of. */
static uint32_t ramp(struct weir_health *h, struct target *t, uint64_t now_us)
{
    uint64_t length_us = (uint64_t)h->config.slow_start_ms * 1000;
    if (!t->is_up) {
        t->ramp_from_us = t->was_up_once && length_us ? now_us : 0;
        t->is_up = t->was_up_once = true;
    }
    if (t->ramp_from_us == 0 || now_us - t->ramp_from_us >= length_us) {
        t->ramp_from_us = 0;
        return WEIR_BALANCE_FULL_SHARE;
    }
    uint64_t rest = WEIR_BALANCE_FULL_SHARE - FIRST_SHARE_PPM;
    return FIRST_SHARE_PPM + (uint32_t)(rest * (now_us - t->ramp_from_us) / length_us);
}

void weir_health_refresh(struct weir_health *h, uint32_t target, bool runs, uint64_t now_us,
                         struct weir_health_view *ret_view)
{
    struct target *t = &h->targets[target];
    end_window(h, target, now_us);
    end_ejection(h, target, now_us);
    enum weir_health_state state = state_of(h, target, runs, now_us);
    *ret_view = (struct weir_health_view){.permits = UINT32_MAX};
    if (state == WEIR_HEALTH_HALF_OPEN) { /* a small share would keep the trials away */
        ret_view->share_ppm = WEIR_BALANCE_FULL_SHARE;
        ret_view->permits = atomic_load_explicit(&t->permits, memory_order_relaxed);
    } else if (state == WEIR_HEALTH_READY) {
        ret_view->share_ppm = ramp(h, t, now_us);
        if (ret_view->share_ppm < WEIR_BALANCE_FULL_SHARE) {
            state = WEIR_HEALTH_SLOW_START;
        }
    } else if (state != WEIR_HEALTH_POSTPONED) { /* it was only busy: no reason to start slowly */
        t->is_up = false;
    }
    ret_view->state = state;
    atomic_store_explicit(&t->state, (uint32_t)state, memory_order_relaxed);
}

enum weir_health_state weir_health_state(const struct weir_health *h, uint32_t target)
{
    return (enum weir_health_state)atomic_load_explicit(&h->targets[target].state,
                                                        memory_order_relaxed);
}

const char *weir_health_state_name(enum weir_health_state state)
{
    static const char *const names[] = {"down",    "ready",     "slow_start", "half_open", "open",
                                        "ejected", "postponed", "unchecked",  "unhealthy"};
    return (size_t)state < sizeof(names) / sizeof(names[0]) ? names[state] : "unknown";
}

uint64_t weir_health_ejections(const struct weir_health *h, uint32_t target,
                               enum weir_health_cause cause)
{
    return atomic_load_explicit(&h->targets[target].n_ejections[cause], memory_order_relaxed);
}

uint64_t weir_health_results(const struct weir_health *h, uint32_t target, bool is_good)
{
    const struct target *t = &h->targets[target];
    return atomic_load_explicit(is_good ? &t->n_good : &t->n_bad, memory_order_relaxed);
}
