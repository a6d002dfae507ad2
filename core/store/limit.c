/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/limit.h"

static const uint64_t max_span_ns = UINT64_C(1) << 61;

static uint64_t span_ns(uint64_t units, uint64_t period_us, uint64_t limit)
{
    uint64_t small;
    if (!__builtin_mul_overflow(units, period_us * 1000, &small) && small < max_span_ns) {
        return small / limit + (small % limit != 0);
    }
    unsigned __int128 ns = (unsigned __int128)units * period_us * 1000;
    ns = (ns + limit - 1) / limit;
    return ns > max_span_ns ? max_span_ns : (uint64_t)ns;
}

/* A burst taken unit by unit is rounded up once for each of them, so the depth gets that much more,
 * but less than one unit's span: burst + 1 units never fit. */
struct weir_store_span weir_store_limit_span(const weir_store_limit *l)
{
    uint64_t unit_ns = l->period_us * 1000 / l->limit;
    uint64_t slack_ns = unit_ns == 0 ? 0 : unit_ns - 1;
    slack_ns = slack_ns > l->burst ? l->burst : slack_ns;
    return (struct weir_store_span){.units_ns = span_ns(l->units, l->period_us, l->limit),
                                    .depth_ns =
                                        span_ns(l->burst, l->period_us, l->limit) + slack_ns};
}

uint64_t weir_store_limit_units_ns(const weir_store_limit *l)
{
    return span_ns(l->units, l->period_us, l->limit);
}

weir_store_left weir_store_limit_left(const weir_store_limit *l, uint64_t taken_ns,
                                      uint64_t depth_ns)
{
    unsigned __int128 units = 0;
    if (taken_ns < depth_ns) {
        units = (unsigned __int128)(depth_ns - taken_ns) * l->limit;
        units /= (unsigned __int128)l->period_us * 1000;
    }
    if (units > l->burst) {
        units = l->burst; /* the depth is a little more than the burst */
    }
    return (weir_store_left){.units = units > INT64_MAX ? INT64_MAX : (int64_t)units,
                             .reset_us = (taken_ns + 999) / 1000};
}

void weir_store_limit_result(const weir_store_limit *levels, uint32_t n, const uint64_t *taken_ns,
                             bool passed, weir_store_left *left, weir_store_result *result)
{
    uint64_t longest_ns = 0;
    bool too_big = false;
    for (uint32_t i = 0; i < n; i++) {
        struct weir_store_span span = weir_store_limit_span(&levels[i]);
        left[i] = weir_store_limit_left(&levels[i], taken_ns[i], span.depth_ns);
        if (passed || too_big || levels[i].units == 0) {
            continue;
        }
        uint64_t after_ns = taken_ns[i] + span.units_ns;
        if (levels[i].units > levels[i].burst) {
            too_big = true;
            result->refused_by = i;
        } else if (after_ns > span.depth_ns && after_ns - span.depth_ns > longest_ns) {
            longest_ns = after_ns - span.depth_ns;
            result->refused_by = i;
        }
    }
    if (too_big) {
        result->rc = WEIR_E_TOOBIG;
    } else if (!passed) {
        result->rc = WEIR_E_BUSY;
        result->retry_after_us = (longest_ns + 999) / 1000;
    }
    result->left = left;
    result->n_left = n;
}

weir_store_left weir_store_budget_left(uint64_t limit, uint64_t taken)
{
    uint64_t distance = limit > taken ? limit - taken : taken - limit;
    int64_t units = distance > INT64_MAX ? INT64_MAX : (int64_t)distance;
    return (weir_store_left){.units = limit >= taken ? units : -units};
}
