/* SPDX-License-Identifier: Apache-2.0 */
/* Slots and pages: how sequences get them and lose them. */
#include "scheduler_internal.h"

#include <assert.h>

bool weir_holdings_take_slot(struct weir_scheduler *s, struct weir_sequence *q)
{
    uint32_t slot = 0;
    while (slot < s->config.max_batch && s->slots[slot]) {
        slot++;
    }
    if (slot == s->config.max_batch) {
        return false;
    }
    const weir_backend_step *backend = s->config.backend;
    int r = backend->seq_open ? backend->seq_open(s->config.model, slot) : 0;
    if (r < 0) {
        weir_scheduler_fail_job(s, q->job, r, "the backend could not open a sequence");
        return false;
    }
    s->slots[slot] = q;
    s->n_slots_used++;
    q->slot = slot;
    q->job->share->n_slots++;
    return true;
}

void weir_holdings_release(struct weir_scheduler *s, struct weir_sequence *q)
{
    weir_batch_drop(s, q);
    weir_prefill_drop(s, q);
    weir_page_pool_release(s->pool, q->pages, q->n_pages);
    q->n_pages = q->n_computed = q->n_chained = 0;
    q->chain = q->job->prompt->root;
    if (q->slot != WEIR_NO_SLOT) {
        if (s->config.backend->seq_close) {
            s->config.backend->seq_close(s->config.model, q->slot);
        }
        s->slots[q->slot] = NULL;
        s->n_slots_used--;
        q->slot = WEIR_NO_SLOT;
        q->job->share->n_slots--;
    }
}

void weir_holdings_preempt(struct weir_scheduler *s, struct weir_sequence *q)
{
    s->config.counters->preemptions++;
    q->n_preempted++;
    weir_holdings_release(s, q);
    if (q->state != WEIR_SEQUENCE_PAUSED) {
        q->state = WEIR_SEQUENCE_PREEMPTED;
        q->waits_since_us = weir_scheduler_now_us(s);
    }
}

/* Whose pages q may take: the last paused one, else the last running one behind q. */
static struct weir_sequence *find_victim(struct weir_scheduler *s, const struct weir_sequence *q,
                                         bool only_own_tenant)
{
    struct weir_sequence *victim = NULL;
    for (uint32_t i = s->n_live; i-- > 0;) {
        struct weir_sequence *v = s->live[i];
        if (v == q || v->n_pages == 0 || (only_own_tenant && v->job->share != q->job->share)) {
            continue;
        }
        if (v->state == WEIR_SEQUENCE_PAUSED) {
            return v;
        }
        if (!victim && weir_sequence_rank(q, v) < 0) {
            victim = v;
        }
    }
    return victim;
}

static uint32_t owner_of(const struct weir_scheduler *s, const struct weir_sequence *q)
{
    return weir_tenant_shares_index(&s->shares, q->job->share);
}

bool weir_holdings_is_beyond(const struct weir_scheduler *s, const struct weir_sequence *q,
                             uint32_t n)
{
    uint32_t bound = q->job->max_pages;
    return bound > 0 && weir_page_pool_n_held(s->pool, owner_of(s, q)) + n > bound;
}

/* No other sequence of q's tenant holds pages. */
static bool holds_alone(const struct weir_scheduler *s, const struct weir_sequence *q)
{
    for (uint32_t i = 0; i < s->n_live; i++) {
        const struct weir_sequence *o = s->live[i];
        if (o != q && o->job->share == q->job->share && o->n_pages > 0) {
            return false;
        }
    }
    return true;
}

/* One page more; false when none can be had now. */
static bool take_page(struct weir_scheduler *s, struct weir_sequence *q)
{
    for (;;) {
        uint32_t *page = &q->pages[q->n_pages];
        enum weir_page_take r = weir_page_pool_take(s->pool, owner_of(s, q), false, page);
        if (r == WEIR_PAGE_AT_BOUND && holds_alone(s, q)) {
            /* The bound was lowered since q was accepted: it ends, but nothing starts beside it. */
            r = weir_page_pool_take(s->pool, owner_of(s, q), true, page);
        }
        if (r == WEIR_PAGE_TAKEN) {
            q->n_pages++;
            return true;
        }
        struct weir_sequence *victim = find_victim(s, q, r == WEIR_PAGE_AT_BOUND);
        if (!victim) {
            return false;
        }
        weir_holdings_preempt(s, victim);
    }
}

uint32_t weir_holdings_cover(struct weir_scheduler *s, struct weir_sequence *q, uint32_t n_tokens)
{
    uint32_t n_pages = weir_pages_for(n_tokens);
    while (q->n_pages < n_pages) {
        if (!take_page(s, q)) {
            return q->n_pages * WEIR_PAGE_TOKENS;
        }
    }
    return n_tokens;
}

uint32_t weir_holdings_match(struct weir_scheduler *s, struct weir_sequence *q)
{
    if (q->n_computed != q->n_pages * WEIR_PAGE_TOKENS) {
        return 0;
    }
    /* The last token is always computed: its logits are what the step is for. */
    uint32_t max_pages = (q->n_tokens - 1) / WEIR_PAGE_TOKENS - q->n_pages;
    q->n_pages += weir_page_pool_match(s->pool, s->config.secret, q->tokens + q->n_computed,
                                       max_pages, q->pages + q->n_pages, &q->chain);
    uint32_t n_found = q->n_pages * WEIR_PAGE_TOKENS - q->n_computed;
    q->n_computed += n_found;
    q->n_chained = q->n_pages;
    return n_found;
}

void weir_holdings_count_match(struct weir_scheduler *s, struct weir_sequence *q, uint32_t n_tokens)
{
    if (q->choice == 0 && q->n_preempted == 0) {
        q->job->cached_tokens += n_tokens;
        s->config.counters->prefix_tokens_hit += n_tokens;
    }
}

void weir_holdings_publish(struct weir_scheduler *s, struct weir_sequence *q)
{
    uint32_t n_full = q->n_computed / WEIR_PAGE_TOKENS;
    for (; q->n_chained < n_full; q->n_chained++) {
        const int32_t *tokens = q->tokens + (size_t)q->n_chained * WEIR_PAGE_TOKENS;
        struct weir_page_key key = weir_page_key_next(s->config.secret, q->chain, tokens);
        weir_page_pool_publish(s->pool, q->pages[q->n_chained], q->chain, key, tokens);
        q->chain = key;
    }
}
