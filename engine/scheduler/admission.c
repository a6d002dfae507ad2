/* SPDX-License-Identifier: Apache-2.0 */
/* From waiting to running: the next in turn whose predicted KV fits. */
#include "scheduler_internal.h"

enum {
    MAX_TRIES = 4,                /* waiting sequences looked at per round */
    MAX_OVERTAKEN = 32,           /* after that many, nothing passes a sequence that does not fit */
    MIN_PREDICTED = 32,           /* tokens of a completion */
    PAUSED_LONG_US = 1000 * 1000, /* a pause that gives up its place to others */
};

/* Tokens that q is likely to have at its end. A sequence that was preempted once is counted in
 * full: it must not be thrown out a second time for the same wrong guess. */
static uint32_t predicted_tokens(const struct weir_scheduler *s, const struct weir_sequence *q)
{
    uint32_t end = q->n_prompt + q->max_tokens;
    if (q->n_preempted > 0) {
        return end;
    }
    uint32_t likely = q->n_prompt + (uint32_t)s->mean_completion;
    uint32_t least = q->n_tokens + MIN_PREDICTED;
    likely = likely > least ? likely : least;
    return likely < end ? likely : end;
}

static bool nothing_runs(const struct weir_scheduler *s)
{
    for (uint32_t i = 0; i < s->n_live; i++) {
        if (weir_sequence_runs(s->live[i])) {
            return false;
        }
    }
    return true;
}

/* One look at whether a waiting sequence can start. */
struct attempt {
    const struct weir_sequence *sequence; /* has its matched pages already */
    uint64_t now_us;
    bool any_paused; /* nothing runs: every paused sequence may lose its place */
};

/* v gives up slot and pages for a sequence that could start instead: when it was paused for long,
 * or is of a class behind. */
static bool gives_way(const struct weir_sequence *v, const struct attempt *a)
{
    if (v->state == WEIR_SEQUENCE_PAUSED) {
        return a->any_paused || a->now_us - v->paused_at_us >= PAUSED_LONG_US;
    }
    return v->job->generation->class_rank > a->sequence->job->generation->class_rank;
}

/* Is there room, counting what the others will still ask for? With take_all as if all that give way
 * had done so: asked first, so that nobody is thrown out in vain. */
static bool fits(const struct weir_scheduler *s, const struct attempt *a, bool take_all)
{
    uint64_t available = weir_page_pool_n_available(s->pool);
    uint64_t promised = 0;
    uint32_t n_holding = 0;
    for (uint32_t i = 0; i < s->n_live; i++) {
        const struct weir_sequence *v = s->live[i];
        if (v->slot == WEIR_NO_SLOT) {
            continue;
        }
        if (take_all && gives_way(v, a)) {
            available += v->n_pages;
            continue;
        }
        uint32_t end = weir_pages_for(predicted_tokens(s, v));
        promised += end > v->n_pages ? end - v->n_pages : 0;
        n_holding++;
    }
    const struct weir_sequence *q = a->sequence;
    uint32_t need = weir_pages_for(predicted_tokens(s, q)) - q->n_pages;
    return n_holding == 0 || (n_holding < s->config.max_batch && available >= need + promised);
}

static struct weir_sequence *find_victim(struct weir_scheduler *s, const struct attempt *a)
{
    struct weir_sequence *victim = NULL;
    for (uint32_t i = s->n_live; i-- > 0;) {
        struct weir_sequence *v = s->live[i];
        if (v->slot == WEIR_NO_SLOT || !gives_way(v, a)) {
            continue;
        }
        if (v->state == WEIR_SEQUENCE_PAUSED) {
            return v;
        }
        victim = victim ? victim : v;
    }
    return victim;
}

static bool make_room(struct weir_scheduler *s, const struct attempt *a)
{
    if (!fits(s, a, true)) {
        return false;
    }
    while (!fits(s, a, false)) {
        struct weir_sequence *victim = find_victim(s, a);
        if (!victim) {
            return false; /* pages that victims shared with others did not come free */
        }
        weir_holdings_preempt(s, victim);
    }
    return true;
}

static void note_admission(struct weir_scheduler *s, struct weir_sequence *q)
{
    if (q->choice == 0 && q->n_preempted == 0) {
        q->job->admitted_us = weir_scheduler_now_us(s);
        s->config.counters->prefix_tokens_asked += q->n_prompt;
    }
}

/* False: it does not fit now. True also when its job failed on the way. */
static bool try_admit(struct weir_scheduler *s, struct weir_sequence *q)
{
    /* First, as pages that are shared need no room. */
    uint32_t n_found = weir_holdings_match(s, q);
    struct attempt attempt = {q, weir_scheduler_now_us(s), nothing_runs(s)};
    if (!make_room(s, &attempt)) {
        weir_holdings_release(s, q);
        return false;
    }
    if (!weir_holdings_take_slot(s, q)) {
        return true;
    }
    weir_holdings_count_match(s, q, n_found);
    note_admission(s, q);
    q->state = weir_sequence_running_state(q);
    return true;
}

/* Later choices wait until the first has computed the prompt, and then find its pages. */
static bool is_eligible(const struct weir_sequence *q)
{
    const struct weir_sequence *first = &q->job->sequences[0];
    return weir_sequence_waits(q) && (q->choice == 0 || first->n_tokens > first->n_prompt ||
                                      first->state == WEIR_SEQUENCE_DONE);
}

/* The next in turn behind `after` (NULL: the very first). */
static struct weir_sequence *next_in_turn(const struct weir_scheduler *s,
                                          const struct weir_sequence *after)
{
    struct weir_sequence *next = NULL;
    for (uint32_t i = 0; i < s->n_live; i++) {
        struct weir_sequence *q = s->live[i];
        if (is_eligible(q) && (!after || weir_sequence_turn(after, q) < 0) &&
            (!next || weir_sequence_turn(q, next) < 0)) {
            next = q;
        }
    }
    return next;
}

static void count_overtaken(struct weir_scheduler *s, const struct weir_sequence *winner)
{
    for (uint32_t i = 0; i < s->n_live; i++) {
        struct weir_sequence *q = s->live[i];
        if (is_eligible(q) && weir_sequence_turn(q, winner) < 0) {
            q->n_overtaken++;
        }
    }
}

void weir_admission_run(struct weir_scheduler *s)
{
    struct weir_sequence *blocked = NULL;
    for (uint32_t tries = 0; tries < MAX_TRIES;) {
        struct weir_sequence *q = next_in_turn(s, blocked);
        if (!q) {
            return;
        }
        if (try_admit(s, q)) {
            if (blocked) {
                count_overtaken(s, q);
            }
            continue;
        }
        if (q->n_overtaken >= MAX_OVERTAKEN) {
            return;
        }
        blocked = q;
        tries++;
    }
}
