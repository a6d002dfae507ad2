/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Counters, gauges and histograms with bounded label sets, shown as Prometheus text.
 *
 * Why: a label value may come from a client (model, tenant); without a bound on label sets one
 * client could fill the daemon's memory and the scraper's. Past a metric's bound, new sets are
 * counted under "other".
 * Use: define a metric once, look up a series per label set (keep the pointer where the set does
 * not change), record into it. Recording takes no lock. Ownership: the registry owns metrics and
 * series. define() takes a reference, release() drops it; the metric disappears with its last
 * reference. Series live as long as their metric. Threads: [any], but destroy() needs every
 * recorder to have stopped, and release() every recorder of that metric. Errors: define() returns
 * NULL with a sentence; recording into NULL does nothing, so that a failed definition costs figures
 * only. */
#include "base/buf.h"
#include "base/error.h"

enum {
    WEIR_METRICS_MAX_LABELS = 8,
    WEIR_METRICS_MAX_BUCKETS = 32,
    WEIR_METRICS_MAX_SERIES = 256,      /* label sets per metric when max_series is 0 */
    WEIR_METRICS_MAX_LABEL_BYTES = 128, /* longer label values are cut */
    WEIR_METRICS_MAX_OWNERS = 16,       /* threads with cells of their own */
};

struct weir_metrics;       /* the registry */
struct weir_metric_family; /* a name with its labels */
struct weir_metric_series; /* one label set of a metric */

enum weir_metrics_kind {
    WEIR_METRICS_COUNTER, /* the name ends in _total */
    WEIR_METRICS_GAUGE,
    WEIR_METRICS_HISTOGRAM,
};

struct weir_metric_spec {
    enum weir_metrics_kind kind;
    const char *name; /* [a-z_][a-z0-9_:]*, with its unit: weir_request_seconds */
    const char *help; /* one line */
    const char *labels[WEIR_METRICS_MAX_LABELS]; /* names, NULL-ended when fewer */
    const double *buckets;                       /* histogram: rising upper bounds, without +Inf */
    uint32_t n_buckets;
    uint32_t max_series; /* 0: WEIR_METRICS_MAX_SERIES */
};

/* Bucket bounds in seconds for whole requests (1 ms to 60 s), for the time to the first token (1 ms
 * to 10 s) and for the gap between tokens (0.5 ms to 1 s). */
extern const double weir_metrics_seconds[14];
extern const double weir_metrics_first_token_seconds[18];
extern const double weir_metrics_gap_seconds[14];
#define WEIR_METRICS_BUCKETS(array)                                                                \
    .buckets = (array), .n_buckets = sizeof(array) / sizeof((array)[0])

int weir_metrics_create(struct weir_metrics **ret_metrics) WEIR_NODISCARD;
void weir_metrics_destroy(struct weir_metrics *m);

/* A name that exists already with the same kind, labels and buckets gives the same metric (a plugin
 * loaded anew goes on counting); with another shape it is an error. Everything is copied. */
struct weir_metric_family *weir_metrics_define(struct weir_metrics *m,
                                               const struct weir_metric_spec *spec,
                                               struct weir_error *err);
void weir_metrics_release(struct weir_metrics *m, struct weir_metric_family *family);

/* The series of these label values, in the order of `labels`, made when new. Past the bound, or
 * without memory, the series "other"; NULL only when even that has no memory. */
struct weir_metric_series *weir_metric_series(struct weir_metric_family *family,
                                              const weir_str *values, uint32_t n_values);
/* The same with C strings; values must be exactly as many as labels. */
#define WEIR_METRIC_SERIES(family, ...)                                                            \
    weir_metric_series_text((family), (const char *const[]){__VA_ARGS__},                          \
                            sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))
struct weir_metric_series *weir_metric_series_text(struct weir_metric_family *family,
                                                   const char *const *values, uint32_t n_values);

/* The calling thread records much: what it counts goes where no other thread writes, without locked
 * instructions. `number` is that of no other thread which records into the same registry; those
 * from WEIR_METRICS_MAX_OWNERS on share with the rest. */
void weir_metrics_own(uint32_t number);

void weir_metric_add(struct weir_metric_series *s, double value); /* counter (>= 0) or gauge */
void weir_metric_set(struct weir_metric_series *s, double value); /* gauge */
/* A counter kept elsewhere (an engine's steps): sets it; it must not go down. */
void weir_metric_set_total(struct weir_metric_series *s, double value);
void weir_metric_observe(struct weir_metric_series *s, double value); /* histogram */
/* add, set or observe, as the kind asks for. */
void weir_metric_record(struct weir_metric_series *s, double value);
double weir_metric_value(const struct weir_metric_series *s); /* for tests; histogram: count */

/* Calls fn(arg) before each rendering, to bring gauges up to date. At most 16; in the order added.
 */
int weir_metrics_add_collector(struct weir_metrics *m, void (*fn)(void *arg), void *arg);
void weir_metrics_remove_collector(struct weir_metrics *m, void (*fn)(void *arg), void *arg);

/* Appends everything as text exposition format 0.0.4 ("text/plain; version=0.0.4"). Metrics without
 * series are left out. WEIR_E_NOMEM when `out` is too small. */
int weir_metrics_render(struct weir_metrics *m, struct weir_buf *out);
