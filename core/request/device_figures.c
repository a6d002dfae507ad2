/* SPDX-License-Identifier: Apache-2.0 */
#include "core/request/device_figures.h"

#include <stdlib.h>
#include <string.h>

#include "core/target/model.h"

#define GAUGE(stat, name, text)                                                                    \
    {                                                                                              \
        stat,                                                                                      \
        {                                                                                          \
            WEIR_METRICS_GAUGE, name, text, .labels = LABELS                                       \
        }                                                                                          \
    }
#define COUNTER(stat, name, text)                                                                  \
    {                                                                                              \
        stat,                                                                                      \
        {                                                                                          \
            WEIR_METRICS_COUNTER, name, text, .labels = LABELS                                     \
        }                                                                                          \
    }
#define LABELS                                                                                     \
    {                                                                                              \
        "model", "target"                                                                          \
    }

static const struct {
    const char *stat; /* as the backend names it */
    struct weir_metric_spec spec;
} figures[] = {
    GAUGE("gpu_utilization", "weir_gpu_utilization_ratio",
          "Share of time in which a kernel ran, 0 to 1, of all processes."),
    GAUGE("gpu_memory_used_bytes", "weir_gpu_memory_used_bytes",
          "Device memory in use, of all processes."),
    GAUGE("gpu_memory_total_bytes", "weir_gpu_memory_total_bytes", "Device memory."),
    GAUGE("gpu_power_watts", "weir_gpu_power_watts", "Power drawn by the device."),
    GAUGE("gpu_temperature_celsius", "weir_gpu_temperature_celsius", "Temperature of the device."),
    GAUGE("gpu_throttled", "weir_gpu_throttled", "1 while heat or power holds the clocks down."),
    GAUGE("gpu_ecc_uncorrected", "weir_gpu_ecc_uncorrected_errors",
          "Memory errors that could not be corrected, since the driver began."),
    GAUGE("gpu_last_error_event", "weir_gpu_last_error_event",
          "Number of the last Xid that the driver reported; 0: none."),
    COUNTER("gpu_error_events", "weir_gpu_error_events_total",
            "Xid or RAS events that the driver reported."),
    COUNTER("gpu_step_seconds", "weir_gpu_step_seconds_total", "Time in steps, host included."),
    COUNTER("gpu_busy_seconds", "weir_gpu_busy_seconds_total",
            "Time that the device took for steps."),
    COUNTER("gpu_gap_seconds", "weir_gpu_host_gap_seconds_total",
            "Time between steps in which the device waited for the host, while there was work."),
    COUNTER("gpu_decode_rows", "weir_gpu_decode_rows_total",
            "Sequences in steps that were replayed from a graph."),
    COUNTER("gpu_decode_places", "weir_gpu_decode_places_total",
            "Places in those steps; rows by places is the occupancy of batches."),
    COUNTER("gpu_graph_steps", "weir_gpu_graph_steps_total", "Steps replayed from a graph."),
    COUNTER("gpu_eager_steps", "weir_gpu_eager_steps_total", "Steps launched kernel by kernel."),
};

enum { N_FIGURES = sizeof(figures) / sizeof(figures[0]) };

struct weir_device_figures {
    struct weir_metric_family *families[N_FIGURES];
};

struct reader {
    const struct weir_device_figures *figures;
    const char *model, *target;
};

int weir_device_figures_create(struct weir_metrics *metrics,
                               struct weir_device_figures **ret_figures, struct weir_error *err)
{
    struct weir_device_figures *f = calloc(1, sizeof(*f));
    if (!f) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    for (size_t i = 0; i < N_FIGURES; i++) {
        f->families[i] = weir_metrics_define(metrics, &figures[i].spec, err);
        if (!f->families[i]) {
            free(f);
            return WEIR_E_ARG;
        }
    }
    *ret_figures = f;
    return 0;
}

void weir_device_figures_destroy(struct weir_device_figures *f)
{
    free(f);
}

static void take_stat(void *arg, const char *name, double value)
{
    const struct reader *r = arg;
    for (size_t i = 0; i < N_FIGURES; i++) {
        if (strcmp(figures[i].stat, name) != 0) {
            continue;
        }
        struct weir_metric_series *s =
            WEIR_METRIC_SERIES(r->figures->families[i], r->model, r->target);
        if (figures[i].spec.kind == WEIR_METRICS_COUNTER) {
            weir_metric_set_total(s, value);
        } else {
            weir_metric_set(s, value);
        }
        return;
    }
}

void weir_device_figures_collect(struct weir_device_figures *f, struct weir_model *model)
{
    struct reader reader = {.figures = f, .model = weir_model_name(model)};
    for (uint32_t i = 0; i < weir_model_n_targets(model); i++) {
        struct weir_target *t = weir_model_target(model, i);
        reader.target = weir_target_name(t);
        weir_target_each_stat(t, take_stat, &reader);
    }
}
