/* SPDX-License-Identifier: Apache-2.0 */
#include "observe_targets.h"

#include <stdlib.h>

#include "base/clock.h"

enum family { STATE, SHARE, LOAD, TTFT, REQUESTS, EJECTIONS, REGION_OUT, REGION_RTT, FAMILY_COUNT };

enum { MAX_SERIES = 8192 };

struct weir_target_metrics {
    struct weir_metric_family *families[FAMILY_COUNT];
};

#define BY_TARGET .labels = {"model", "target"}, .max_series = MAX_SERIES
#define BY_REGION .labels = {"model", "region"}, .max_series = MAX_SERIES

static const struct weir_metric_spec specs[FAMILY_COUNT] = {
    [STATE] = {WEIR_METRICS_GAUGE, "weir_target_state",
               "0 down, 1 ready, 2 slow start, 3 half open, 4 open, 5 ejected, 6 postponed, 7 "
               "unchecked, 8 unhealthy.",
               BY_TARGET},
    [SHARE] = {WEIR_METRICS_GAUGE, "weir_target_share_ratio",
               "Part of its weight that counts now; 0: it gets no requests.", BY_TARGET},
    [LOAD] = {WEIR_METRICS_GAUGE, "weir_target_places_used", "Places that are taken.", BY_TARGET},
    [TTFT] = {WEIR_METRICS_GAUGE, "weir_target_first_token_seconds",
              "Moving average of the time to the first token.", BY_TARGET},
    [REQUESTS] = {WEIR_METRICS_COUNTER, "weir_target_requests_total",
                  "Attempts that said something of the target's health, by result: good or bad.",
                  .labels = {"model", "target", "result"}, .max_series = MAX_SERIES},
    [EJECTIONS] = {WEIR_METRICS_COUNTER, "weir_target_ejections_total",
                   "Times that the target was left out, by cause: errors in a row, or their rate.",
                   .labels = {"model", "target", "cause"}, .max_series = MAX_SERIES},
    [REGION_OUT] = {WEIR_METRICS_GAUGE, "weir_region_left",
                    "1 while too much of the region fails and others take over.", BY_REGION},
    [REGION_RTT] = {WEIR_METRICS_GAUGE, "weir_region_check_seconds",
                    "Moving average of what active checks of the region's targets take.",
                    BY_REGION},
};

int weir_target_metrics_create(struct weir_metrics *metrics,
                               struct weir_target_metrics **ret_metrics, struct weir_error *err)
{
    struct weir_target_metrics *t = calloc(1, sizeof(*t));
    if (!t) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    for (int i = 0; i < FAMILY_COUNT; i++) {
        t->families[i] = weir_metrics_define(metrics, &specs[i], err);
        if (!t->families[i]) {
            free(t);
            return WEIR_E_ARG;
        }
    }
    *ret_metrics = t;
    return 0;
}

void weir_target_metrics_destroy(struct weir_target_metrics *t)
{
    free(t);
}

static void set(struct weir_target_metrics *t, enum family family, const char *model,
                const char *target, double value)
{
    weir_metric_set(WEIR_METRIC_SERIES(t->families[family], model, target), value);
}

static void set_total(struct weir_target_metrics *t, enum family family, const char *model,
                      const char *target, const char *what, uint64_t value)
{
    weir_metric_set_total(WEIR_METRIC_SERIES(t->families[family], model, target, what),
                          (double)value);
}

static void collect_target(struct weir_target_metrics *t, struct weir_model *m, uint32_t i,
                           uint64_t now_us)
{
    const char *model = weir_model_name(m), *target = weir_target_name(weir_model_target(m, i));
    const struct weir_balance *b = weir_model_balance(m);
    const struct weir_health *h = weir_model_health(m);
    double share = atomic_load_explicit(&b->targets[i].share_ppm, memory_order_relaxed);
    set(t, STATE, model, target, (double)weir_health_state(h, i));
    set(t, SHARE, model, target, share / WEIR_BALANCE_FULL_SHARE);
    set(t, LOAD, model, target, weir_queue_used(weir_model_queue(m), i));
    set(t, TTFT, model, target, weir_balance_ttft_ns(b, i, now_us) / 1e9);
    set_total(t, REQUESTS, model, target, "good", weir_health_results(h, i, true));
    set_total(t, REQUESTS, model, target, "bad", weir_health_results(h, i, false));
    set_total(t, EJECTIONS, model, target, "errors",
              weir_health_ejections(h, i, WEIR_HEALTH_BY_ERRORS));
    set_total(t, EJECTIONS, model, target, "rate",
              weir_health_ejections(h, i, WEIR_HEALTH_BY_RATE));
}

void weir_target_metrics_collect(struct weir_target_metrics *t, struct weir_model *model)
{
    uint64_t now_us = weir_clock_mono_us();
    for (uint32_t i = 0; i < weir_model_n_targets(model); i++) {
        collect_target(t, model, i, now_us);
    }
    const struct weir_balance *b = weir_model_balance(model);
    for (uint32_t i = 0; i < b->n_regions && b->n_regions > 1; i++) {
        const struct weir_balance_region *r = &b->regions[i];
        uint64_t rtt_us = atomic_load_explicit(&r->rtt_us, memory_order_relaxed);
        set(t, REGION_OUT, weir_model_name(model), r->name,
            atomic_load_explicit(&r->is_out, memory_order_relaxed));
        set(t, REGION_RTT, weir_model_name(model), r->name, (double)rtt_us / 1e6);
    }
}
