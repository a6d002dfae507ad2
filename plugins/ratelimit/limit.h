/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The limits of one subject, as a configuration or a tenant's record states them.
 * {requests_per_second: 50, tokens_per_minute: {limit: 200000, burst: 50000}, concurrent: 32}
 * Threads: any; pure functions. */
#include <stdint.h>
#include <yyjson.h>

enum resource { RESOURCE_REQUESTS, RESOURCE_TOKENS, RESOURCE__COUNT };
enum period { PERIOD_SECOND, PERIOD_MINUTE, PERIOD_HOUR, PERIOD_DAY, PERIOD__COUNT };

enum { LIMIT_MAX_RATES = RESOURCE__COUNT * PERIOD__COUNT };

struct rate {
    uint64_t limit, period_us; /* units in a period; both scaled where a limit has a fraction */
    uint64_t burst;            /* units that may come at once after a pause */
    uint8_t resource, period;  /* enum resource, enum period */
};

struct limit_set {
    struct rate rates[LIMIT_MAX_RATES];
    uint32_t n_rates;
    uint32_t concurrent; /* 0: no limit */
};

/* Adds what `rules` says to the set; an entry for the same resource and period is replaced. Values
 * that are no positive number are passed over: the schema has refused them. */
void limit_set_add(struct limit_set *set, yyjson_val *rules);

/* What headers say of a limit, made once: "tenant-rpm";q=1000;qu="tokens";w=60 */
struct limit_text {
    char policy[92];
    uint8_t name_len;            /* "tenant-rpm" */
    uint8_t limit_at, limit_len; /* 1000 */
    uint8_t policy_len;
};
void limit_text_make(struct limit_text *t, const char *level, const struct rate *rate);

const char *limit_suffix(const struct rate *rate); /* "rpm": in store keys and policy names */
const char *limit_words(const struct rate *rate);  /* "requests per minute" */
/* Units per period as the operator wrote them, rounded down, at least 1. */
uint64_t limit_shown(const struct rate *rate);
uint64_t limit_window_s(const struct rate *rate); /* 1, 60, 3600, 86400 */
