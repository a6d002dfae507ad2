/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The windows of budgets: which one a moment lies in, and when it ends.
 *
 * Calendar windows begin when the tenant's clocks show a new day, Monday or month; hours and
 * minutes are those of UTC. A day is as long as the clocks make it: 23 or 25 hours when they
 * change. Rolling windows: time is cut in quarters of the period, and every run of WINDOW_SPANS
 * quarters is a window with the whole budget. Any stretch as long as the period lies within one of
 * them, so it never sees more than the budget; used units come free up to a quarter late. Threads:
 * any; pure functions. */
#include <stdbool.h>

#include "text.h"
#include "zone.h"

enum window_period {
    WINDOW_MINUTE,
    WINDOW_HOUR,
    WINDOW_DAY,
    WINDOW_WEEK,
    WINDOW_MONTH,
    WINDOW__COUNT
};

enum { WINDOW_SPANS = 5 }; /* windows that a moment lies in, when they roll */

struct window {
    int64_t start_s, end_s; /* UTC */
};

const char *window_name(enum window_period period); /* "month" */

struct window window_calendar(enum window_period period, const struct zone *zone, int64_t now_s);
/* Window `i` (0: the oldest) of the WINDOW_SPANS that roll; the month has 30 days. */
struct window window_rolling(enum window_period period, int64_t now_s, unsigned i);

/* The window's part of a key: "month/2026-11-01", "rolling-day/1764547200". Days, weeks and months
 * are named by their date, so that a changed time zone keeps what was used. */
void window_key_add(struct text *to, enum window_period period, bool rolling,
                    const struct zone *zone, const struct window *w);
/* "2026-12-01T00:00:00Z" */
void window_time_add(struct text *to, int64_t utc_s);
