/* SPDX-License-Identifier: Apache-2.0 */
#include "budget.h"

#include <stdio.h>
#include <string.h>

/* 2^53, what the store counts exactly; nine thousand million of a currency. */
#define MAX_UNITS UINT64_C(9007199254740992)

static const char *const units[BUDGET_UNIT__COUNT] = {"requests", "tokens", "spend"};

const char *budget_unit_name(const struct budget *b)
{
    return units[b->unit];
}

static void put(struct budget_set *set, struct budget budget)
{
    for (uint32_t i = 0; i < set->n; i++) {
        if (set->list[i].unit == budget.unit && set->list[i].period == budget.period) {
            set->list[i] = budget;
            return;
        }
    }
    set->list[set->n++] = budget;
}

static void add_one(struct budget_set *set, yyjson_val *v, uint8_t unit, uint8_t period,
                    const char *currency)
{
    bool money = unit == BUDGET_MONEY;
    yyjson_val *number = yyjson_is_obj(v) ? yyjson_obj_get(v, money ? "amount" : "limit") : v;
    double amount = yyjson_get_num(number) * (money ? 1e6 : 1);
    if (!yyjson_is_num(number) || amount < 0) {
        return;
    }
    if (money && !yyjson_equals_str(yyjson_obj_get(v, "currency"), currency)) {
        set->wrong_currency = true;
    }
    put(set, (struct budget){
                 .limit = amount > (double)MAX_UNITS ? MAX_UNITS : (uint64_t)(amount + 0.5),
                 .unit = unit,
                 .period = period,
                 .rolling = yyjson_is_true(yyjson_obj_get(v, "rolling")),
             });
}

void budget_set_add(struct budget_set *set, yyjson_val *rules, const char *currency)
{
    for (unsigned unit = 0; unit < BUDGET_UNIT__COUNT; unit++) {
        for (unsigned period = 0; period < WINDOW__COUNT; period++) {
            char key[32];
            (void)snprintf(key, sizeof(key), "%s_per_%s", units[unit],
                           window_name((enum window_period)period));
            yyjson_val *v = yyjson_obj_get(rules, key);
            if (v) {
                add_one(set, v, (uint8_t)unit, (uint8_t)period, currency);
            }
        }
    }
}

void budget_words_add(struct text *to, const struct budget *b)
{
    text_add(to, weir_str_from(units[b->unit]));
    TEXT_ADD(to, " per ");
    text_add(to, weir_str_from(window_name((enum window_period)b->period)));
}

void budget_amount_add(struct text *to, const struct budget *b, uint64_t n, const char *currency)
{
    if (b->unit != BUDGET_MONEY) {
        text_add_u64(to, n);
        return;
    }
    char digits[8];
    (void)snprintf(digits, sizeof(digits), "%06u", (unsigned)(n % 1000000));
    text_add_u64(to, n / 1000000);
    text_add_char(to, '.');
    text_add(to, weir_str_from(digits));
    text_add_char(to, ' ');
    text_add(to, weir_str_from(currency));
}
