/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Months and spans of time in UTC, as the export is asked for them. */
#include <stdbool.h>
#include <stdint.h>

#include "record.h"
#include "weir/types.h"

struct billing_period { /* from_us <= started_us < to_us */
    uint64_t from_us, to_us;
};

/* "2026-01". */
bool billing_period_of_month(weir_str month, struct billing_period *ret_period);
/* Dates or times of RFC 3339 in UTC; an empty text leaves that side as it is. */
bool billing_period_narrow(weir_str from, weir_str to, struct billing_period *period);
/* The month after this one. */
void billing_period_next_month(const char month[BILLING_MONTH_BYTES],
                               char ret_next[BILLING_MONTH_BYTES]);
