/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/http_date.h"

#include <stdio.h>

/* Not strftime: day and month names must not follow the locale. */
static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

weir_str weir_http_date_line(struct weir_http_date *d, time_t now)
{
    if (now != d->second || d->n == 0) {
        struct tm tm;
        (void)gmtime_r(&now, &tm);
        int n = snprintf(d->line, sizeof(d->line), "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n",
                         days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900,
                         tm.tm_hour, tm.tm_min, tm.tm_sec);
        d->n = n > 0 && (size_t)n < sizeof(d->line) ? (size_t)n : 0;
        d->second = now;
    }
    return (weir_str){d->line, d->n};
}
