/* SPDX-License-Identifier: Apache-2.0 */
#include "limit.h"

#include <stddef.h>

#include "text.h"

/* Above it arithmetic of units and periods would not fit; no real limit is so high. */
#define MAX_LIMIT 1e12

static const uint64_t period_s[PERIOD__COUNT] = {1, 60, 3600, 86400};

static const struct {
    const char *key, *suffix, *words;
} kinds[RESOURCE__COUNT][PERIOD__COUNT] = {
    {{"requests_per_second", "rps", "requests per second"},
     {"requests_per_minute", "rpm", "requests per minute"},
     {"requests_per_hour", "rph", "requests per hour"},
     {"requests_per_day", "rpd", "requests per day"}},
    {{"tokens_per_second", "tps", "tokens per second"},
     {"tokens_per_minute", "tpm", "tokens per minute"},
     {"tokens_per_hour", "tph", "tokens per hour"},
     {"tokens_per_day", "tpd", "tokens per day"}},
};

static uint64_t rounded_up(double x)
{
    uint64_t whole = (uint64_t)x;
    return (double)whole < x || whole == 0 ? whole + 1 : whole;
}

/* 0.5 per second is 500 per 1000 s: exact to a thousandth. */
static void set_limit(struct rate *rate, double limit)
{
    uint64_t period_us = period_s[rate->period] * 1000000;
    if (limit == (double)(uint64_t)limit) {
        rate->limit = (uint64_t)limit;
        rate->period_us = period_us;
    } else {
        rate->limit = rounded_up(limit * 1000);
        rate->period_us = period_us * 1000;
    }
}

static void put(struct limit_set *set, struct rate rate)
{
    for (uint32_t i = 0; i < set->n_rates; i++) {
        if (set->rates[i].resource == rate.resource && set->rates[i].period == rate.period) {
            set->rates[i] = rate;
            return;
        }
    }
    set->rates[set->n_rates++] = rate;
}

static void add_rate(struct limit_set *set, yyjson_val *v, uint8_t resource, uint8_t period)
{
    yyjson_val *number = yyjson_is_obj(v) ? yyjson_obj_get(v, "limit") : v;
    double limit = yyjson_get_num(number), burst = yyjson_get_num(yyjson_obj_get(v, "burst"));
    if (!(limit > 0) || limit > MAX_LIMIT || burst > MAX_LIMIT) {
        return;
    }
    struct rate rate = {.resource = resource, .period = period};
    set_limit(&rate, limit);
    rate.burst = rounded_up(burst > 0 ? burst : limit);
    put(set, rate);
}

void limit_set_add(struct limit_set *set, yyjson_val *rules)
{
    for (unsigned r = 0; r < RESOURCE__COUNT; r++) {
        for (unsigned p = 0; p < PERIOD__COUNT; p++) {
            yyjson_val *v = yyjson_obj_get(rules, kinds[r][p].key);
            if (v) {
                add_rate(set, v, (uint8_t)r, (uint8_t)p);
            }
        }
    }
    uint64_t concurrent = yyjson_get_uint(yyjson_obj_get(rules, "concurrent"));
    if (concurrent > 0) {
        set->concurrent = concurrent > UINT32_MAX ? UINT32_MAX : (uint32_t)concurrent;
    }
}

void limit_text_make(struct limit_text *t, const char *level, const struct rate *rate)
{
    struct text to = text_on(t->policy, sizeof(t->policy));
    text_add_char(&to, '"');
    text_add(&to, weir_str_from(level));
    text_add_char(&to, '-');
    text_add(&to, weir_str_from(limit_suffix(rate)));
    text_add_char(&to, '"');
    t->name_len = (uint8_t)to.n;
    TEXT_ADD(&to, ";q=");
    t->limit_at = (uint8_t)to.n;
    text_add_u64(&to, limit_shown(rate));
    t->limit_len = (uint8_t)(to.n - t->limit_at);
    if (rate->resource == RESOURCE_TOKENS) {
        TEXT_ADD(&to, ";qu=\"tokens\"");
    }
    TEXT_ADD(&to, ";w=");
    text_add_u64(&to, limit_window_s(rate));
    t->policy_len = (uint8_t)to.n;
}

const char *limit_suffix(const struct rate *rate)
{
    return kinds[rate->resource][rate->period].suffix;
}

const char *limit_words(const struct rate *rate)
{
    return kinds[rate->resource][rate->period].words;
}

uint64_t limit_window_s(const struct rate *rate)
{
    return period_s[rate->period];
}

uint64_t limit_shown(const struct rate *rate)
{
    uint64_t scale = rate->period_us / (period_s[rate->period] * 1000000);
    return rate->limit < scale ? 1 : rate->limit / scale;
}
