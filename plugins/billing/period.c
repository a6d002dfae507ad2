/* SPDX-License-Identifier: Apache-2.0 */
#include "period.h"

#include <stdio.h>

static bool read_month(weir_str text, unsigned *ret_year, unsigned *ret_month)
{
    char month[BILLING_MONTH_BYTES];
    if (text.n != BILLING_MONTH_BYTES - 1) {
        return false;
    }
    memcpy(month, text.p, text.n);
    month[text.n] = '\0';
    for (size_t i = 0; i < text.n; i++) {
        if (i == 4 ? month[i] != '-' : month[i] < '0' || month[i] > '9') {
            return false;
        }
    }
    return sscanf(month, "%4u-%2u", ret_year, ret_month) == 2 && *ret_month >= 1 &&
           *ret_month <= 12;
}

static bool first_of(unsigned year, unsigned month, uint64_t *ret_us)
{
    char date[32];
    int n = snprintf(date, sizeof(date), "%04u-%02u-01", year % 10000, month % 100);
    return price_parse_date((weir_str){date, (size_t)n}, ret_us) == 0;
}

bool billing_period_of_month(weir_str month, struct billing_period *ret_period)
{
    unsigned y = 0, m = 0;
    return read_month(month, &y, &m) && first_of(y, m, &ret_period->from_us) &&
           first_of(m == 12 ? y + 1 : y, m == 12 ? 1 : m + 1, &ret_period->to_us);
}

bool billing_period_narrow(weir_str from, weir_str to, struct billing_period *period)
{
    return (from.n == 0 || price_parse_date(from, &period->from_us) == 0) &&
           (to.n == 0 || price_parse_date(to, &period->to_us) == 0);
}

void billing_period_next_month(const char month[BILLING_MONTH_BYTES],
                               char ret_next[BILLING_MONTH_BYTES])
{
    unsigned y = 0, m = 0;
    (void)read_month((weir_str){month, BILLING_MONTH_BYTES - 1}, &y, &m);
    y += m == 12;
    m = m == 12 ? 1 : m + 1;
    (void)snprintf(ret_next, BILLING_MONTH_BYTES, "%04u-%02u", y % 10000, m % 100);
}
