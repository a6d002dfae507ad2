/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#define LITERAL(text) ((weir_str)WEIR_STR_INIT(text))

static void set(const struct limiter *l, weir_req *r, weir_str name, const struct text *value)
{
    (void)l->host->set_header(l->host, r, name, text_view(value));
}

static void set_number(const struct limiter *l, weir_req *r, weir_str name, uint64_t number)
{
    char buffer[24];
    struct text t = text_on(buffer, sizeof(buffer));
    text_add_u64(&t, number);
    set(l, r, name, &t);
}

static void set_duration(const struct limiter *l, weir_req *r, weir_str name, uint64_t us)
{
    char buffer[64];
    struct text t = text_on(buffer, sizeof(buffer));
    text_add_duration(&t, us);
    set(l, r, name, &t);
}

/* The fields of the IETF draft. */
static void add_policy(struct text *policy, struct text *now, const struct limit_view *v,
                       weir_str remaining)
{
    if (policy->n) {
        TEXT_ADD(policy, ", ");
        TEXT_ADD(now, ", ");
    }
    text_add(policy, (weir_str){v->text.policy, v->text.policy_len});
    text_add(now, (weir_str){v->text.policy, v->text.name_len});
    TEXT_ADD(now, ";r=");
    text_add(now, remaining);
    TEXT_ADD(now, ";t=");
    text_add_seconds(now, v->reset_us);
}

void answer_headers(const struct limiter *l, const struct admission *a, weir_req *r)
{
    static const struct {
        weir_str limit, remaining, reset;
    } names[RESOURCE__COUNT] = {
        {WEIR_STR_INIT("x-ratelimit-limit-requests"),
         WEIR_STR_INIT("x-ratelimit-remaining-requests"),
         WEIR_STR_INIT("x-ratelimit-reset-requests")},
        {WEIR_STR_INIT("x-ratelimit-limit-tokens"), WEIR_STR_INIT("x-ratelimit-remaining-tokens"),
         WEIR_STR_INIT("x-ratelimit-reset-tokens")},
    };
    char policy_buffer[200], now_buffer[160], remaining_buffer[24];
    struct text policy = text_on(policy_buffer, sizeof(policy_buffer));
    struct text now = text_on(now_buffer, sizeof(now_buffer));
    for (int i = 0; i < RESOURCE__COUNT; i++) {
        const struct limit_view *v = &a->view[i];
        if (v->is_there) {
            struct text remaining = text_on(remaining_buffer, sizeof(remaining_buffer));
            text_add_u64(&remaining, v->remaining);
            weir_str limit = {v->text.policy + v->text.limit_at, v->text.limit_len};
            (void)l->host->set_header(l->host, r, names[i].limit, limit);
            set(l, r, names[i].remaining, &remaining);
            set_duration(l, r, names[i].reset, v->reset_us);
            add_policy(&policy, &now, v, text_view(&remaining));
        }
    }
    if (policy.n) {
        set(l, r, LITERAL("ratelimit-policy"), &policy);
        set(l, r, LITERAL("ratelimit"), &now);
    }
}

static void set_retry(const struct limiter *l, weir_req *r, uint64_t us)
{
    char buffer[24];
    struct text t = text_on(buffer, sizeof(buffer));
    text_add_seconds(&t, us);
    set(l, r, LITERAL("retry-after"), &t);
    set_number(l, r, LITERAL("retry-after-ms"), us / 1000 + (us % 1000 != 0));
}

static void say_limit(struct text *t, const struct admission *a)
{
    bool slots = a->by_item == SUBJECT_SLOT;
    text_add(t, weir_str_from(slots ? "concurrent requests" : limit_words(&a->by_rate)));
    TEXT_ADD(t, ": limit ");
    text_add_u64(t, slots ? a->by_depth : limit_shown(&a->by_rate));
}

static void refuse(const struct limiter *l, weir_req *r, int status, weir_str type, weir_str code,
                   const struct text *message)
{
    (void)l->host->deny(l->host, r, status, type, code, text_view(message));
}

static void answer_lost(const struct limiter *l, weir_req *r)
{
    char buffer[160];
    struct text t = text_on(buffer, sizeof(buffer));
    TEXT_ADD(&t, "Rate limits cannot be checked at the moment. Please try again later.");
    set_retry(l, r, 1000000);
    refuse(l, r, 503, LITERAL("overloaded_error"), LITERAL("rate_limit_unavailable"), &t);
}

void answer_refusal(struct limiter *l, const struct admission *a, weir_req *r, enum admit why)
{
    if (why == ADMIT_LOST || !a->by) {
        answer_lost(l, r);
        return;
    }
    char buffer[400];
    struct text t = text_on(buffer, sizeof(buffer));
    bool never = why == ADMIT_NEVER;
    text_add(&t, weir_str_from(never ? "Request too large for " : "Rate limit reached for "));
    text_add(&t, weir_str_from(level_whose((enum level)a->by->e.level)));
    TEXT_ADD(&t, " on ");
    say_limit(&t, a);
    if (never) {
        TEXT_ADD(&t, ", at most ");
        text_add_u64(&t, a->by_depth);
        TEXT_ADD(&t, " at once; this request needs ");
        text_add_u64(&t, a->tokens);
        TEXT_ADD(&t, " (prompt and max_tokens). It can never pass: make it smaller.");
        (void)l->host->set_header(l->host, r, LITERAL("x-should-retry"), LITERAL("false"));
    } else {
        uint64_t us = limiter_retry_us(l, a);
        if (a->by_item < SUBJECT_SLOT) {
            TEXT_ADD(&t, ", requested ");
            text_add_u64(&t, subject_need(a->by_item, a->tokens));
        }
        TEXT_ADD(&t, ". Please try again in ");
        text_add_duration(&t, us);
        text_add_char(&t, '.');
        set_retry(l, r, us);
    }
    refuse(l, r, 429, LITERAL("rate_limit_error"), LITERAL("rate_limit_exceeded"), &t);
}

void answer_overload(struct limiter *l, weir_req *r)
{
    char buffer[160];
    struct text t = text_on(buffer, sizeof(buffer));
    TEXT_ADD(&t, "This model answers too slowly at the moment and takes fewer requests. Please try "
                 "again in 1s.");
    set_retry(l, r, 1000000);
    refuse(l, r, 429, LITERAL("rate_limit_error"), LITERAL("rate_limit_exceeded"), &t);
}
