/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Shapes shared by metrics.c (defining, recording) and render.c (text). */
#include <pthread.h>
#include <stdatomic.h>

#include "core/metrics/metrics.h"

enum { SERIES_HASH_SLOTS = 64, MAX_COLLECTORS = 16 };

/* What one thread, or all that have none of their own, have recorded. */
struct weir_metric_cells {
    _Atomic uint64_t value;     /* bits of a double; a histogram's sum */
    _Atomic uint64_t buckets[]; /* [n_buckets + 1] not cumulated, last is +Inf */
};

struct weir_metric_series {
    struct weir_metric_series *next; /* in its hash slot */
    struct weir_metric_family *family;
    /* The first ones are everybody's; the others of the threads that have said so, made when they
     * first record. The figure is the sum of all. */
    struct weir_metric_cells *_Atomic cells[1 + WEIR_METRICS_MAX_OWNERS];
    uint64_t hash;
    char *values[WEIR_METRICS_MAX_LABELS]; /* label values, NUL-ended */
    size_t value_len[WEIR_METRICS_MAX_LABELS];
};

struct weir_metric_family {
    struct weir_metric_family *next; /* in the order of definition */
    uint32_t refs;                   /* under weir_metrics.lock */
    enum weir_metrics_kind kind;
    char *name, *help;
    char *labels[WEIR_METRICS_MAX_LABELS];
    uint32_t n_labels;
    double buckets[WEIR_METRICS_MAX_BUCKETS];
    uint32_t n_buckets;
    uint32_t max_series;
    pthread_mutex_t lock; /* adding series */
    uint32_t n_series;    /* under lock */
    /* Heads of lists that only grow at the front. Store-release after the series is complete pairs
     * with the load-acquire of lock-free readers. */
    struct weir_metric_series *_Atomic slots[SERIES_HASH_SLOTS];
};

struct weir_metrics {
    pthread_mutex_t lock; /* families and collectors; held while rendering */
    struct weir_metric_family *first, **last;
    struct {
        void (*fn)(void *arg);
        void *arg;
    } collectors[MAX_COLLECTORS];
    uint32_t n_collectors;
};

double weir_metric_sum(const struct weir_metric_series *s); /* of the values */
uint64_t weir_metric_n_in(const struct weir_metric_series *s, uint32_t bucket);
