/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/timers.h"

#include <stdlib.h>

void weir_plugin_timers_finish(struct weir_plugin_timers *ts)
{
    free(ts->heap);
    *ts = (struct weir_plugin_timers){0};
}

static void put(struct weir_plugin_timers *ts, size_t at, struct weir_plugin_timer *t)
{
    ts->heap[at - 1] = t;
    t->at = at;
}

static void sift_up(struct weir_plugin_timers *ts, struct weir_plugin_timer *t, size_t at)
{
    while (at > 1 && ts->heap[at / 2 - 1]->due_us > t->due_us) {
        put(ts, at, ts->heap[at / 2 - 1]);
        at /= 2;
    }
    put(ts, at, t);
}

static void sift_down(struct weir_plugin_timers *ts, struct weir_plugin_timer *t, size_t at)
{
    for (size_t child = at * 2; child <= ts->n; child = at * 2) {
        if (child < ts->n && ts->heap[child]->due_us < ts->heap[child - 1]->due_us) {
            child++;
        }
        if (ts->heap[child - 1]->due_us >= t->due_us) {
            break;
        }
        put(ts, at, ts->heap[child - 1]);
        at = child;
    }
    put(ts, at, t);
}

int weir_plugin_timers_add(struct weir_plugin_timers *ts, struct weir_plugin_timer *t)
{
    if (ts->n == ts->cap) {
        size_t cap = ts->cap ? ts->cap * 2 : 16;
        struct weir_plugin_timer **heap = realloc(ts->heap, cap * sizeof(*heap));
        if (!heap) {
            return WEIR_E_NOMEM;
        }
        ts->heap = heap;
        ts->cap = cap;
    }
    ts->n++;
    sift_up(ts, t, ts->n);
    return 0;
}

bool weir_plugin_timers_remove(struct weir_plugin_timers *ts, struct weir_plugin_timer *t)
{
    if (t->at == 0) {
        return false;
    }
    size_t at = t->at;
    struct weir_plugin_timer *last = ts->heap[ts->n - 1];
    ts->n--;
    t->at = 0;
    if (last != t) {
        sift_up(ts, last, at);
        sift_down(ts, last, last->at);
    }
    return true;
}

struct weir_plugin_timer *weir_plugin_timers_first(const struct weir_plugin_timers *ts)
{
    return ts->n ? ts->heap[0] : NULL;
}
