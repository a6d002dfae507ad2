/* SPDX-License-Identifier: Apache-2.0 */
/* From waiting to running: the next in turn whose predicted KV fits. */
#include "scheduler_internal.h"

enum {
    MAX_TRIES = 4,                /* waiting sequences looked at per round */
    MAX_OVERTAKEN = 32,           /* after that many, nothing passes a sequence that does not fit */
    MIN_PREDICTED = 32,           /* tokens of a completion */
    PAUSED_LONG_US = 1000 * 1000, /* a pause that gives up its place to others */
    MAX_YIELDED = 4,              /* times that a sequence makes place for other tenants */
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
    uint32_t class_rank; /* of the sequence; age finds it a free place sooner, it takes none away */
    bool any_paused;     /* nothing runs: every paused sequence may lose its place */
};

/* How many slots v's tenant would give up until it has no more of them by weight than the other. */
static uint32_t yieldable(const struct weir_tenant_share *from, const struct weir_tenant_share *to)
{
    uint64_t fair = ((uint64_t)to->n_slots + 1) * from->terms.weight / to->terms.weight;
    return from->n_slots > fair ? from->n_slots - (uint32_t)fair : 0;
}

/* v's tenant has more slots by weight than the sequence's own would then have. */
static bool yields(const struct weir_sequence *v, const struct attempt *a)
{
    const struct weir_tenant_share *from = v->job->share, *to = a->sequence->job->share;
    return from != to && v->job->class_rank >= a->class_rank && v->n_yielded < MAX_YIELDED &&
           from->n_yielded < yieldable(from, to);
}

/* v gives up slot and pages for a sequence that could start instead: when it was paused for long,
 * is of a class behind, or is one too many of its tenant. */
static bool gives_way(const struct weir_sequence *v, const struct attempt *a)
{
    if (v->state == WEIR_SEQUENCE_PAUSED) {
        return a->any_paused || a->now_us - v->paused_at_us >= PAUSED_LONG_US;
    }
    return v->class_rank > a->class_rank || yields(v, a);
}

static void forget_yielded(struct weir_scheduler *s)
{
    for (uint32_t i = 0; i < s->n_live; i++) {
        s->live[i]->job->share->n_yielded = 0;
    }
}

/* What the running sequences hold and will still ask for. */
struct demand {
    uint64_t available, promised;         /* of the pool */
    uint64_t own_available, own_promised; /* of the tenant's bound */
    uint32_t n_holding;
};

static void count_holder(const struct weir_scheduler *s, const struct attempt *a, bool take_all,
                         struct weir_sequence *v, struct demand *d)
{
    bool own = v->job->share == a->sequence->job->share;
    if (take_all && gives_way(v, a)) {
        d->available += v->n_pages;
        d->own_available += own ? v->n_pages : 0;
        v->job->share->n_yielded++;
        return;
    }
    uint32_t end = weir_pages_for(predicted_tokens(s, v));
    uint32_t more = end > v->n_pages ? end - v->n_pages : 0;
    d->promised += more;
    d->own_promised += own ? more : 0;
    d->n_holding++;
}

/* Is there room, counting what the others will still ask for? With take_all as if all that give way
 * had done so: asked first, so that nobody is thrown out in vain. */
static bool fits(struct weir_scheduler *s, const struct attempt *a, bool take_all)
{
    const struct weir_sequence *q = a->sequence;
    struct demand d = {.available = weir_page_pool_n_available(s->pool)};
    forget_yielded(s);
    for (uint32_t i = s->n_live; i-- > 0;) {
        if (s->live[i]->slot != WEIR_NO_SLOT) {
            count_holder(s, a, take_all, s->live[i], &d);
        }
    }
    forget_yielded(s);
    uint32_t need = weir_pages_for(predicted_tokens(s, q)) - q->n_pages;
    uint64_t own = d.own_promised + need;
    bool in_bound = q->job->share->n_slots == 0 || own <= d.own_available ||
                    !weir_holdings_is_beyond(s, q, (uint32_t)(own - d.own_available));
    q->job->share->is_blocked = !in_bound;
    return d.n_holding == 0 ||
           (in_bound && d.n_holding < s->config.max_batch && d.available >= need + d.promised);
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
        victim->n_yielded += victim->class_rank <= a->class_rank && weir_sequence_runs(victim);
        weir_holdings_preempt(s, victim);
    }
    return true;
}

static void note_admission(struct weir_scheduler *s, struct weir_sequence *q)
{
    q->class_rank = weir_sequence_class(q, weir_scheduler_now_us(s));
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
    uint64_t now = weir_scheduler_now_us(s);
    struct attempt attempt = {q, now, q->job->class_rank, nothing_runs(s)};
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
    return weir_sequence_waits(q) && !q->job->share->is_blocked &&
           (q->choice == 0 || first->n_tokens > first->n_prompt ||
            first->state == WEIR_SEQUENCE_DONE);
}

/* Those that were looked at in vain have now been passed. */
static void count_overtaken(struct weir_scheduler *s, uint64_t look)
{
    for (uint32_t i = 0; i < s->n_live; i++) {
        struct weir_sequence *q = s->live[i];
        q->n_overtaken += is_eligible(q) && q->looked_at == look;
    }
}

static void unblock_all(struct weir_scheduler *s)
{
    for (uint32_t i = 0; i < s->n_live; i++) {
        s->live[i]->job->share->is_blocked = false;
    }
}

void weir_admission_run(struct weir_scheduler *s)
{
    uint64_t now = weir_scheduler_now_us(s);
    uint64_t look = weir_turn_begin(s);
    unblock_all(s);
    for (uint32_t n_blocked = 0; n_blocked < MAX_TRIES;) {
        struct weir_sequence *q = weir_turn_next(s, look, is_eligible, now);
        if (!q) {
            return;
        }
        if (try_admit(s, q)) {
            if (n_blocked > 0) {
                count_overtaken(s, look);
            }
        } else if (!q->job->share->is_blocked) { /* its tenant's own bound is no matter of others */
            if (q->n_overtaken >= MAX_OVERTAKEN) {
                return;
            }
            n_blocked++;
        }
    }
}
