/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Days of the Gregorian calendar as numbers since 1970-01-01, for any year. Threads: any. */
#include <stdint.h>

struct civil {
    int64_t year;
    unsigned month, day; /* 1..12, 1..31 */
};

/* Hinnant 2013, "chrono-compatible low-level date algorithms": eras of 400 years, March first. */
static inline int64_t civil_to_days(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    unsigned of_era = (unsigned)(year - era * 400);
    unsigned of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + (int64_t)(of_era * 365 + of_era / 4 - of_era / 100 + of_year) - 719468;
}

static inline struct civil civil_from_days(int64_t days)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    unsigned of_era = (unsigned)(days - era * 146097);
    unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
    unsigned m = (5 * of_year + 2) / 153;
    struct civil c = {.year = (int64_t)year + era * 400,
                      .month = m < 10 ? m + 3 : m - 9,
                      .day = of_year - (153 * m + 2) / 5 + 1};
    c.year += c.month <= 2;
    return c;
}

static inline int64_t civil_floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static inline unsigned civil_weekday(int64_t days) /* 0: Sunday */
{
    int64_t d = (days + 4) % 7;
    return (unsigned)(d < 0 ? d + 7 : d);
}
