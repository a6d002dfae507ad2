/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Adaptive admission: how many requests of a model and class may run here at a time, so that the
 * time to the first token stays within the SLA.
 *
 * The limit follows a gradient: each interval, the P95 of the times to the first token is held
 * against the SLA. Above it, limit := limit * SLA / P95 (a half at the least); within it, and when
 * the limit was used, limit := limit + sqrt(limit). A request that waits longer than the SLA and
 * leaves without a token counts as a time too.
 * The limit is this replica's own: it stands for what its targets can do, not for a tenant's share.
 * Threads: one lock. Bounds: ADAPTIVE_MAX_CELLS; requests of further models are not limited. */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "weir/types.h"

enum { ADAPTIVE_MAX_CELLS = 256, ADAPTIVE_SAMPLES = 256, ADAPTIVE_CLASSES = 3 };

struct adaptive_options {
    uint64_t sla_us[ADAPTIVE_CLASSES]; /* critical_api, interactive_ui, batch */
    uint32_t min, max;                 /* bounds of the limit; it begins at max */
    uint64_t interval_us;              /* between two changes, */
    uint32_t min_samples;              /* and times that one needs */
};

struct adaptive_cell {
    char model[129];
    uint8_t class_index;
    double limit;
    uint32_t running, most_running; /* most since the last change */
    uint64_t changed_us;
    uint32_t n_samples; /* since the last change; the ring keeps the latest */
    uint64_t samples_us[ADAPTIVE_SAMPLES];
    uint64_t p95_us; /* at the last change */
    uint64_t refused;
};

struct adaptive {
    struct adaptive_options options;
    pthread_mutex_t lock;
    struct adaptive_cell *cells[ADAPTIVE_MAX_CELLS];
    uint32_t n;
};

int adaptive_class(weir_str name); /* 0..2 */
int adaptive_init(struct adaptive *a, const struct adaptive_options *options);
void adaptive_finish(struct adaptive *a);

/* Takes a place. False: the limit is reached. *ret_cell is NULL where nothing is limited. */
bool adaptive_enter(struct adaptive *a, weir_str model, int class_index, uint64_t now_us,
                    struct adaptive_cell **ret_cell);
/* The first token came, waited_us after the request. */
void adaptive_sample(struct adaptive *a, struct adaptive_cell *c, uint64_t waited_us,
                     uint64_t now_us);
/* The request has ended; had_token: adaptive_sample was called. */
void adaptive_leave(struct adaptive *a, struct adaptive_cell *c, bool had_token, uint64_t waited_us,
                    uint64_t now_us);
