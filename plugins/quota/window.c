/* SPDX-License-Identifier: Apache-2.0 */
#include "window.h"

#include "civil.h"

enum { DAY_S = 86400 };

static const int64_t lengths_s[WINDOW__COUNT] = {60, 3600, DAY_S, 7 * DAY_S, 30 * DAY_S};

const char *window_name(enum window_period period)
{
    static const char *const names[WINDOW__COUNT] = {"minute", "hour", "day", "week", "month"};
    return names[period];
}

/* The first day of the window that the day lies in, and of the next. */
static void days_of(enum window_period period, int64_t day, int64_t *ret_first, int64_t *ret_next)
{
    if (period == WINDOW_MONTH) {
        struct civil c = civil_from_days(day);
        *ret_first = civil_to_days(c.year, c.month, 1);
        *ret_next =
            c.month == 12 ? civil_to_days(c.year + 1, 1, 1) : civil_to_days(c.year, c.month + 1, 1);
    } else if (period == WINDOW_WEEK) {
        *ret_first = day - (civil_weekday(day) + 6) % 7; /* Monday */
        *ret_next = *ret_first + 7;
    } else {
        *ret_first = day;
        *ret_next = day + 1;
    }
}

struct window window_calendar(enum window_period period, const struct zone *zone, int64_t now_s)
{
    if (period <= WINDOW_HOUR) {
        int64_t start = civil_floor_div(now_s, lengths_s[period]) * lengths_s[period];
        return (struct window){start, start + lengths_s[period]};
    }
    int64_t day = civil_floor_div(now_s + zone_offset(zone, now_s), DAY_S), first, next;
    days_of(period, day, &first, &next);
    return (struct window){zone_to_utc(zone, first * DAY_S), zone_to_utc(zone, next * DAY_S)};
}

struct window window_rolling(enum window_period period, int64_t now_s, unsigned i)
{
    int64_t quarter = lengths_s[period] / (WINDOW_SPANS - 1);
    int64_t first = civil_floor_div(now_s, quarter) - (WINDOW_SPANS - 1) + i;
    return (struct window){first * quarter, (first + WINDOW_SPANS) * quarter};
}

static void add_padded(struct text *to, int64_t number, int digits)
{
    for (int64_t limit = 10; digits > 1; digits--, limit *= 10) {
        if (number < limit) {
            text_add_char(to, '0');
        }
    }
    text_add_u64(to, number > 0 ? (uint64_t)number : 0);
}

static void add_date(struct text *to, int64_t days)
{
    struct civil c = civil_from_days(days);
    add_padded(to, c.year, 4);
    text_add_char(to, '-');
    add_padded(to, c.month, 2);
    text_add_char(to, '-');
    add_padded(to, c.day, 2);
}

void window_key_add(struct text *to, enum window_period period, bool rolling,
                    const struct zone *zone, const struct window *w)
{
    if (rolling) {
        TEXT_ADD(to, "rolling-");
    }
    text_add(to, weir_str_from(window_name(period)));
    text_add_char(to, '/');
    if (rolling || period <= WINDOW_HOUR) {
        text_add_u64(to, w->start_s > 0 ? (uint64_t)w->start_s : 0);
    } else {
        /* The first instant of a day, also where its midnight is skipped or comes twice. */
        add_date(to, civil_floor_div(w->start_s + zone_offset(zone, w->start_s), DAY_S));
    }
}

void window_time_add(struct text *to, int64_t utc_s)
{
    int64_t day = civil_floor_div(utc_s, DAY_S), of_day = utc_s - day * DAY_S;
    add_date(to, day);
    text_add_char(to, 'T');
    add_padded(to, of_day / 3600, 2);
    text_add_char(to, ':');
    add_padded(to, of_day / 60 % 60, 2);
    text_add_char(to, ':');
    add_padded(to, of_day % 60, 2);
    text_add_char(to, 'Z');
}
