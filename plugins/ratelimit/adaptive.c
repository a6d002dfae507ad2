/* SPDX-License-Identifier: Apache-2.0 */
#include "adaptive.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int adaptive_class(weir_str name)
{
    return weir_str_is(name, "critical_api") ? 0 : weir_str_is(name, "batch") ? 2 : 1;
}

int adaptive_init(struct adaptive *a, const struct adaptive_options *options)
{
    *a = (struct adaptive){.options = *options};
    return pthread_mutex_init(&a->lock, NULL) == 0 ? 0 : WEIR_E_NOMEM;
}

void adaptive_finish(struct adaptive *a)
{
    for (uint32_t i = 0; i < a->n; i++) {
        free(a->cells[i]);
    }
    pthread_mutex_destroy(&a->lock);
}

static struct adaptive_cell *find(struct adaptive *a, weir_str model, int class_index,
                                  uint64_t now_us)
{
    for (uint32_t i = 0; i < a->n; i++) {
        if (a->cells[i]->class_index == class_index && weir_str_is(model, a->cells[i]->model)) {
            return a->cells[i];
        }
    }
    struct adaptive_cell *c = NULL;
    if (a->n == ADAPTIVE_MAX_CELLS || model.n >= sizeof(c->model) || !(c = calloc(1, sizeof(*c)))) {
        return NULL;
    }
    if (model.n) {
        memcpy(c->model, model.p, model.n);
    }
    c->class_index = (uint8_t)class_index;
    c->limit = a->options.max;
    c->changed_us = now_us;
    a->cells[a->n++] = c;
    return c;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The nearest rank of the samples of this interval, the latest ADAPTIVE_SAMPLES of them. */
static uint64_t p95(const struct adaptive_cell *c)
{
    uint64_t sorted[ADAPTIVE_SAMPLES];
    uint32_t n = c->n_samples < ADAPTIVE_SAMPLES ? c->n_samples : ADAPTIVE_SAMPLES;
    memcpy(sorted, c->samples_us, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), compare);
    return sorted[(n * 95 + 99) / 100 - 1];
}

static double bounded(const struct adaptive *a, double limit)
{
    limit = limit < a->options.min ? a->options.min : limit;
    return limit > a->options.max ? a->options.max : limit;
}

static void change(struct adaptive *a, struct adaptive_cell *c, uint64_t now_us)
{
    double sla = (double)a->options.sla_us[c->class_index];
    c->p95_us = p95(c);
    if ((double)c->p95_us > sla) {
        double gradient = sla / (double)c->p95_us;
        c->limit = bounded(a, c->limit * (gradient < 0.5 ? 0.5 : gradient));
    } else if (c->most_running + 1 > c->limit / 2) { /* an unused limit says nothing */
        c->limit = bounded(a, c->limit + sqrt(c->limit));
    }
    c->changed_us = now_us;
    c->n_samples = 0;
    c->most_running = c->running;
}

static void add_sample(struct adaptive *a, struct adaptive_cell *c, uint64_t waited_us,
                       uint64_t now_us)
{
    c->samples_us[c->n_samples % ADAPTIVE_SAMPLES] = waited_us;
    c->n_samples++;
    if (c->n_samples >= a->options.min_samples &&
        now_us - c->changed_us >= a->options.interval_us) {
        change(a, c, now_us);
    }
}

bool adaptive_enter(struct adaptive *a, weir_str model, int class_index, uint64_t now_us,
                    struct adaptive_cell **ret_cell)
{
    pthread_mutex_lock(&a->lock);
    struct adaptive_cell *c = find(a, model, class_index, now_us);
    bool room = !c || c->running + 1 <= c->limit;
    if (c && room) {
        c->running++;
        c->most_running = c->running > c->most_running ? c->running : c->most_running;
    } else if (c) {
        c->refused++;
    }
    pthread_mutex_unlock(&a->lock);
    *ret_cell = room ? c : NULL;
    return room;
}

void adaptive_sample(struct adaptive *a, struct adaptive_cell *c, uint64_t waited_us,
                     uint64_t now_us)
{
    pthread_mutex_lock(&a->lock);
    add_sample(a, c, waited_us, now_us);
    pthread_mutex_unlock(&a->lock);
}

void adaptive_leave(struct adaptive *a, struct adaptive_cell *c, bool had_token, uint64_t waited_us,
                    uint64_t now_us)
{
    pthread_mutex_lock(&a->lock);
    c->running--;
    if (!had_token && waited_us > a->options.sla_us[c->class_index]) {
        add_sample(a, c, waited_us, now_us);
    }
    pthread_mutex_unlock(&a->lock);
}
