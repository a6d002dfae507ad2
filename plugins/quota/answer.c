/* SPDX-License-Identifier: Apache-2.0 */
/* What clients are told of their budgets; never anything of another tenant. */
#include "price_book.h"
#include "quota.h"

#define LITERAL(text) ((weir_str)WEIR_STR_INIT(text))

static void set(const struct quota *q, weir_req *r, weir_str name, const struct text *value)
{
    (void)q->ledger.host->set_header(q->ledger.host, r, name, text_view(value));
}

/* The hold that has used the largest part of its budget, when that is worth a warning. */
static const struct hold *worst(const struct quota *q, const struct reservation *v,
                                unsigned *ret_reached)
{
    const struct hold *found = NULL;
    *ret_reached = 0;
    for (uint32_t i = 0; i < v->n_done; i++) {
        unsigned reached = ledger_threshold(&q->ledger, &v->holds[i]);
        if (v->holds[i].is_binding && reached > *ret_reached) {
            *ret_reached = reached;
            found = &v->holds[i];
        }
    }
    return found;
}

void quota_warn(const struct quota *q, weir_req *r, const struct reservation *v)
{
    unsigned reached;
    const struct hold *h = worst(q, v, &reached);
    if (!h) {
        return;
    }
    char buffer[160];
    struct text t = text_on(buffer, sizeof(buffer));
    text_add_u64(&t, reached);
    TEXT_ADD(&t, "% of the ");
    budget_words_add(&t, &h->budget);
    TEXT_ADD(&t, " of ");
    text_add(&t, weir_str_from(level_whose((enum level)h->owner->e.level)));
    TEXT_ADD(&t, " are used or reserved");
    set(q, r, LITERAL("x-weir-quota-warning"), &t);
}

static void refuse(const struct quota *q, weir_req *r, int status, weir_str type, weir_str code,
                   weir_str message)
{
    (void)q->ledger.host->deny(q->ledger.host, r, status, type, code, message);
}

static void answer_exhausted(const struct quota *q, weir_req *r, const struct hold *h)
{
    const struct ledger *l = &q->ledger;
    const char *currency = l->prices ? price_book_currency(l->prices) : "";
    char buffer[512], reset_buffer[32];
    struct text t = text_on(buffer, sizeof(buffer));
    struct text reset = text_on(reset_buffer, sizeof(reset_buffer));
    uint64_t now_us = l->host->wall_us(l->host), end_us = (uint64_t)h->window.end_s * 1000000;
    window_time_add(&reset, h->window.end_s);
    TEXT_ADD(&t, "You exceeded the quota of ");
    text_add(&t, weir_str_from(level_whose((enum level)h->owner->e.level)));
    TEXT_ADD(&t, " on ");
    budget_words_add(&t, &h->budget);
    TEXT_ADD(&t, ": limit ");
    budget_amount_add(&t, &h->budget, h->budget.limit, currency);
    TEXT_ADD(&t, ", left ");
    budget_amount_add(&t, &h->budget, h->left > 0 ? (uint64_t)h->left : 0, currency);
    TEXT_ADD(&t, ", this request may need ");
    budget_amount_add(&t, &h->budget, h->units, currency);
    text_add(&t,
             weir_str_from(h->budget.rolling ? ". Used units come free from " : ". It resets at "));
    text_add(&t, text_view(&reset));
    text_add(&t, weir_str_from(h->budget.rolling ? " on." : "."));
    set(q, r, LITERAL("x-weir-quota-reset"), &reset);
    struct text seconds = text_on(reset_buffer, sizeof(reset_buffer));
    text_add_seconds(&seconds, end_us > now_us ? end_us - now_us : 0);
    set(q, r, LITERAL("retry-after"), &seconds);
    (void)l->host->set_header(l->host, r, LITERAL("x-should-retry"), LITERAL("false"));
    refuse(q, r, 429, LITERAL("insufficient_quota"), LITERAL("insufficient_quota"), text_view(&t));
}

void quota_answer(const struct quota *q, weir_req *r, const struct reservation *by,
                  enum reserve_result why)
{
    const weir_host *h = q->ledger.host;
    switch (why) {
    case RESERVE_EXHAUSTED: answer_exhausted(q, r, &by->holds[by->by]); return;
    case RESERVE_UNPRICED:
        (void)h->set_header(h, r, LITERAL("x-should-retry"), LITERAL("false"));
        refuse(q, r, 403, LITERAL("permission_error"), LITERAL("model_without_price"),
               LITERAL("This model has no price, so it cannot be used on a budget of money."));
        return;
    default:
        (void)h->set_header(h, r, LITERAL("retry-after"), LITERAL("1"));
        (void)h->set_header(h, r, LITERAL("retry-after-ms"), LITERAL("1000"));
        refuse(q, r, 503, LITERAL("overloaded_error"), LITERAL("quota_unavailable"),
               LITERAL("Quotas cannot be checked at the moment. Please try again later."));
    }
}
