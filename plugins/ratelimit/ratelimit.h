/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The plugin's instance, for its metrics and its admin route. */
#include "settings.h"

struct ratelimit_metrics {
    const weir_ext_metrics *ext; /* NULL: the host has none */
    weir_metric decisions, degraded, store_lost, store_calls, store_failures;
    weir_metric leases, leased_units, returned_units, remaining;
    weir_metric adaptive_limit, adaptive_running, adaptive_p95, adaptive_refused;
    uint64_t ticks;
    uint64_t sent_calls, sent_failures; /* counters as they were added last */
};

struct ratelimit {
    struct limiter limiter; /* first: its callbacks cast */
    struct settings settings;
    struct adaptive adaptive;
    struct ratelimit_metrics metrics;
    uint64_t timer;
};

/* Defines them; only inside instance_create. */
void metrics_define(struct ratelimit *rl);
/* Adds up what was counted; once a second. [main] */
void metrics_publish(void *ratelimit);

/* GET tenants/NAME: the tenant's limits as this replica knows them. [loop] */
int admin_show(void *ratelimit, weir_req *r);
