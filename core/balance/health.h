/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Whether a model's targets may get requests: what is known of them beside their own word.
 *
 * Four things speak here. Checks: a target that has active checks gets nothing before the first
 * good one, and nothing while they fail. Results of requests: some errors in a row, or too small a
 * part of good ones in a window, eject it for a time that grows with each ejection; never more than
 * a part of the targets, and never the last one. A target's Retry-After: nothing until then. A
 * breaker (a plugin): nothing, or a few on trial. After an absence a target starts slowly.
 * Ownership: the model owns it. Threads: create, destroy [main]; report, postpone, set_checked,
 * set_permits [any]; refresh by one thread at a time. Bounds: WEIR_BALANCE_MAX_TARGETS. */
#include <stdbool.h>

#include "core/balance/balance.h"

struct weir_health_config {
    uint32_t consecutive_errors; /* 0: this does not eject */
    uint32_t success_percent;    /* eject below; 0: this does not eject */
    uint32_t min_requests;       /* in a window, for success_percent to say anything */
    uint32_t window_ms, eject_ms, max_eject_ms;
    uint32_t max_ejected_percent;
    uint32_t slow_start_ms; /* 0: at once */
};

enum weir_health_state {                       /* the numbers are the metric's */
                         WEIR_HEALTH_DOWN = 0, /* the target itself cannot run */
                         WEIR_HEALTH_READY = 1,
                         WEIR_HEALTH_SLOW_START = 2,
                         WEIR_HEALTH_HALF_OPEN = 3, /* a breaker lets a few through */
                         WEIR_HEALTH_OPEN = 4,      /* a breaker lets none through */
                         WEIR_HEALTH_EJECTED = 5,
                         WEIR_HEALTH_POSTPONED = 6, /* it said when to come again */
                         WEIR_HEALTH_UNCHECKED = 7, /* no good check yet */
                         WEIR_HEALTH_UNHEALTHY = 8  /* checks fail */
};

struct weir_health;

int weir_health_create(const struct weir_health_config *config, struct weir_health **ret_health);
void weir_health_destroy(struct weir_health *h); /* NULL ok */
/* The next target; is_checked: it gets nothing before the first good check. */
void weir_health_add(struct weir_health *h, bool is_checked);

/* How a request of it went. True: it was ejected now, so look anew. */
bool weir_health_report(struct weir_health *h, uint32_t target, bool is_good, uint64_t now_us);
/* The target asks for nothing until then. */
void weir_health_postpone(struct weir_health *h, uint32_t target, uint64_t until_us);
void weir_health_set_checked(struct weir_health *h, uint32_t target, bool is_good);
/* From a breaker: 0 open, UINT32_MAX closed, else how many at a time. A trial outranks an ejection,
 * and a breaker that closes ends one. */
void weir_health_set_permits(struct weir_health *h, uint32_t target, uint32_t permits);

struct weir_health_view {
    enum weir_health_state state;
    uint32_t share_ppm; /* 0: gets nothing */
    uint32_t permits;   /* at a time; UINT32_MAX: as many as the target takes */
};
/* Ends windows and ejections whose time is over. `runs`: what the target itself says. */
void weir_health_refresh(struct weir_health *h, uint32_t target, bool runs, uint64_t now_us,
                         struct weir_health_view *ret_view);

/* The state of the last refresh. [any] */
enum weir_health_state weir_health_state(const struct weir_health *h, uint32_t target);
const char *weir_health_state_name(enum weir_health_state state);

enum weir_health_cause { WEIR_HEALTH_BY_ERRORS, WEIR_HEALTH_BY_RATE, WEIR_HEALTH_CAUSES };
uint64_t weir_health_ejections(const struct weir_health *h, uint32_t target,
                               enum weir_health_cause cause);
uint64_t weir_health_results(const struct weir_health *h, uint32_t target, bool is_good);
