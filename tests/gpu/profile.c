/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/gpu/profile.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SPANS_MAX = 4096, KINDS_MAX = 256 };

/* A launch: what, and the events around it. */
struct span {
    const char *kernel;
    uint32_t grid[3];
    void *begin, *end;
};

/* Launches of one kernel with one grid. */
struct kind {
    const struct span *like;
    uint32_t n;
    double total_ms;
};

static struct {
    const struct weir_gpu_backend *inner;
    const struct weir_gpu_api *driver;
    struct weir_gpu_backend backend;
    struct weir_gpu_api api;
    void *context; /* that events are made in */
    struct span spans[SPANS_MAX];
    uint32_t n_spans;
} profile;

static int context_create(uint32_t device, void **ret_context)
{
    int rc = profile.driver->context_create(device, ret_context);
    profile.context = *ret_context;
    return rc;
}

static int launch(void *stream, void *function, const struct weir_gpu_launch *wanted)
{
    const struct weir_gpu_api *driver = profile.driver;
    struct weir_gpu_launch alone = *wanted;
    alone.early = 0;
    if (profile.n_spans == SPANS_MAX) {
        return driver->launch(stream, function, &alone);
    }
    struct span *s = &profile.spans[profile.n_spans];
    s->kernel = wanted->kernel;
    memcpy(s->grid, wanted->grid, sizeof(s->grid));
    int rc = s->begin ? 0 : driver->event_create(profile.context, &s->begin);
    rc = rc < 0 || s->end ? rc : driver->event_create(profile.context, &s->end);
    rc = rc < 0 ? rc : driver->event_record(s->begin, stream);
    rc = rc < 0 ? rc : driver->launch(stream, function, &alone);
    rc = rc < 0 ? rc : driver->event_record(s->end, stream);
    profile.n_spans += rc >= 0;
    return rc;
}

static const struct weir_gpu_api *open_timed(struct weir_error *err)
{
    profile.driver = profile.inner->open(err);
    if (!profile.driver) {
        return NULL;
    }
    profile.api = *profile.driver;
    profile.api.context_create = context_create;
    profile.api.launch = launch;
    return &profile.api;
}

const struct weir_gpu_backend *gpu_profile_of(const struct weir_gpu_backend *backend)
{
    profile.inner = backend;
    profile.backend = *backend;
    profile.backend.open = open_timed;
    return &profile.backend;
}

void gpu_profile_begin(void)
{
    profile.n_spans = 0;
}

static bool is_alike(const struct span *a, const struct span *b)
{
    return strcmp(a->kernel, b->kernel) == 0 && memcmp(a->grid, b->grid, sizeof(a->grid)) == 0;
}

static int by_time(const void *a, const void *b)
{
    const struct kind *x = a;
    const struct kind *y = b;
    return (x->total_ms < y->total_ms) - (x->total_ms > y->total_ms);
}

static struct kind *kind_of(const struct span *s, struct kind *kinds, uint32_t *n_kinds)
{
    for (uint32_t i = 0; i < *n_kinds; i++) {
        if (is_alike(kinds[i].like, s)) {
            return &kinds[i];
        }
    }
    if (*n_kinds == KINDS_MAX) {
        return NULL;
    }
    kinds[*n_kinds] = (struct kind){.like = s};
    return &kinds[(*n_kinds)++];
}

int gpu_profile_print(const char *label, uint32_t n_steps)
{
    static struct kind kinds[KINDS_MAX];
    uint32_t n_kinds = 0;
    double all_ms = 0;
    for (uint32_t i = 0; i < profile.n_spans; i++) {
        const struct span *s = &profile.spans[i];
        float ms = 0;
        int rc = profile.driver->event_elapsed_ms(s->begin, s->end, &ms);
        if (rc < 0) {
            return rc;
        }
        struct kind *k = kind_of(s, kinds, &n_kinds);
        if (k) {
            k->n++;
            k->total_ms += (double)ms;
        }
        all_ms += (double)ms;
    }
    qsort(kinds, n_kinds, sizeof(kinds[0]), by_time);
    for (uint32_t i = 0; i < n_kinds; i++) {
        const struct kind *k = &kinds[i];
        printf("PROFILE %s %-34s grid %5ux%ux%u  %4.0f a step, %8.2f us each, %8.1f us a step, "
               "%4.1f %%\n",
               label, k->like->kernel, k->like->grid[0], k->like->grid[1], k->like->grid[2],
               (double)k->n / n_steps, k->total_ms * 1e3 / k->n, k->total_ms * 1e3 / n_steps,
               all_ms > 0 ? 100 * k->total_ms / all_ms : 0);
    }
    printf("PROFILE %s all %.1f us a step\n", label, all_ms * 1e3 / n_steps);
    fflush(stdout);
    return 0;
}
