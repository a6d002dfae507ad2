/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The budgets of one subject, as a configuration or a tenant's record states them:
 * {tokens_per_month: 50000000, tokens_per_day: {limit: 3000000, rolling: true},
 *  spend_per_month: {amount: 2500, currency: EUR}, requests_per_day: 10000}
 * Threads: any; pure functions. */
#include <yyjson.h>

#include "window.h"

enum budget_unit { BUDGET_REQUESTS, BUDGET_TOKENS, BUDGET_MONEY, BUDGET_UNIT__COUNT };

enum { BUDGET_MAX = BUDGET_UNIT__COUNT * WINDOW__COUNT };

struct budget {
    uint64_t limit; /* requests, tokens, micro-units of the currency */
    uint8_t unit;   /* enum budget_unit */
    uint8_t period; /* enum window_period */
    bool rolling;
};

struct budget_set {
    struct budget list[BUDGET_MAX];
    uint32_t n;
    bool wrong_currency; /* a budget in another one than the price book's */
};

/* Adds what `rules` says; an entry for the same unit and period is replaced. `currency`: of the
 * price book; "" when there is none. */
void budget_set_add(struct budget_set *set, yyjson_val *rules, const char *currency);

static inline bool budget_is_same(const struct budget *a, const struct budget *b)
{
    return a->limit == b->limit && a->unit == b->unit && a->period == b->period &&
           a->rolling == b->rolling;
}

/* "tokens per month" */
void budget_words_add(struct text *to, const struct budget *b);
const char *budget_unit_name(const struct budget *b); /* "tokens" */
/* "50000", or "12.500000 EUR" */
void budget_amount_add(struct text *to, const struct budget *b, uint64_t units,
                       const char *currency);
