/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "scheduler_internal.h"

enum {
    FIRST_MEAN_COMPLETION = 128,
    KEPT_TENANTS = 256, /* idle ones whose counters and cached pages are kept */
};

static int allocate(struct weir_scheduler *s)
{
    const struct weir_scheduler_config *c = &s->config;
    s->live = calloc(c->max_live, sizeof(*s->live));
    s->slots = calloc(c->max_batch, sizeof(*s->slots));
    s->parts = calloc(c->max_batch, sizeof(*s->parts));
    s->part_sequences = calloc(c->max_batch, sizeof(*s->part_sequences));
    s->results = calloc(c->max_batch, sizeof(*s->results));
    s->last_results = calloc(c->max_batch, sizeof(*s->last_results));
    s->pending = calloc(c->max_batch, sizeof(*s->pending));
    if (!s->live || !s->slots || !s->parts || !s->part_sequences || !s->results ||
        !s->last_results || !s->pending) {
        return WEIR_E_NOMEM;
    }
    uint32_t n_shares = c->max_live + KEPT_TENANTS;
    int r = weir_page_pool_create(c->info->n_pages, n_shares, &s->pool);
    if (r == 0) {
        r = weir_tenant_shares_init(&s->shares, n_shares);
    }
    return r < 0 ? r : weir_walker_create(&s->walker);
}

int weir_scheduler_create(const struct weir_scheduler_config *config,
                          struct weir_scheduler **ret_scheduler)
{
    const weir_model_info *info = config->info;
    if (info->page_tokens != WEIR_PAGE_TOKENS || config->max_batch == 0 ||
        config->max_batch > info->max_sequences || config->max_step_tokens < config->max_batch ||
        config->max_step_tokens > info->max_step_tokens || config->max_live == 0) {
        return WEIR_E_ARG;
    }
    struct weir_scheduler *s = calloc(1, sizeof(*s));
    if (!s) {
        return WEIR_E_NOMEM;
    }
    s->config = *config;
    s->mean_completion = FIRST_MEAN_COMPLETION;
    int r = allocate(s);
    if (r < 0) {
        weir_scheduler_destroy(s);
        return r;
    }
    *ret_scheduler = s;
    return 0;
}

void weir_scheduler_destroy(struct weir_scheduler *s)
{
    if (!s) {
        return;
    }
    assert(s->n_live == 0);
    weir_page_pool_destroy(s->pool);
    weir_tenant_shares_finish(&s->shares);
    weir_walker_destroy(s->walker);
    free(s->live);
    free(s->slots);
    free(s->parts);
    free(s->part_sequences);
    free(s->results);
    free(s->last_results);
    free(s->pending);
    free(s);
}

uint64_t weir_scheduler_now_us(const struct weir_scheduler *s)
{
    const weir_host *host = s->config.host;
    return host && WEIR_HAS_FN(host, now_us) ? host->now_us(host) : weir_clock_mono_us();
}

/* live[] is kept by rank; a newcomer mostly belongs at the end. */
static void insert_live(struct weir_scheduler *s, struct weir_sequence *q)
{
    assert(s->n_live < s->config.max_live);
    uint32_t i = s->n_live++;
    for (; i > 0 && weir_sequence_rank(q, s->live[i - 1]) < 0; i--) {
        s->live[i] = s->live[i - 1];
    }
    s->live[i] = q;
}

static void join_tenant(struct weir_scheduler *s, struct weir_job *job, uint64_t now)
{
    bool is_new = false;
    job->share = weir_tenant_shares_join(&s->shares, job->prompt->root, &job->terms, now, &is_new);
    assert(job->share);
    uint32_t owner = weir_tenant_shares_index(&s->shares, job->share);
    if (is_new) {
        weir_page_pool_forget_owner(s->pool, owner);
    }
    weir_page_pool_set_owner(s->pool, owner, job->share->terms.weight, job->max_pages);
}

void weir_scheduler_add(struct weir_scheduler *s, struct weir_job *job)
{
    uint64_t now = weir_scheduler_now_us(s);
    job->order = s->n_jobs++;
    join_tenant(s, job, now);
    for (uint32_t i = 0; i < job->n_sequences; i++) {
        job->sequences[i].waits_since_us = now;
        insert_live(s, &job->sequences[i]);
    }
}

void weir_scheduler_end_sequence(struct weir_scheduler *s, struct weir_sequence *q)
{
    weir_holdings_release(s, q);
    q->state = WEIR_SEQUENCE_DONE;
    if (--q->job->n_open == 0) {
        q->job->ended_next = s->ended;
        s->ended = q->job;
    }
}

void weir_scheduler_fail_job(struct weir_scheduler *s, struct weir_job *job, int rc,
                             const char *message)
{
    if (job->n_open == 0) {
        return;
    }
    job->rc = rc;
    job->message = message;
    for (uint32_t i = 0; i < job->n_sequences; i++) {
        if (job->sequences[i].state != WEIR_SEQUENCE_DONE) {
            weir_scheduler_end_sequence(s, &job->sequences[i]);
        }
    }
}

void weir_scheduler_cancel(struct weir_scheduler *s, struct weir_job *job)
{
    if (job->n_open > 0) {
        s->config.counters->cancelled++;
        weir_scheduler_fail_job(s, job, WEIR_E_CANCELLED, "cancelled");
    }
}

void weir_scheduler_wake(struct weir_scheduler *s, struct weir_job *job)
{
    for (uint32_t i = 0; i < job->n_sequences; i++) {
        if (job->sequences[i].state == WEIR_SEQUENCE_PAUSED) {
            weir_tokens_deliver(s, &job->sequences[i]);
        }
    }
}

static void report_end(struct weir_scheduler *s, struct weir_job *job)
{
    uint64_t now = weir_scheduler_now_us(s);
    uint64_t first = job->first_token_us ? job->first_token_us : now;
    uint64_t admitted = job->admitted_us ? job->admitted_us : now;
    weir_outcome outcome = {
        .struct_size = sizeof(outcome),
        .rc = job->rc,
        .prompt_tokens = job->prompt->n_tokens,
        .cached_tokens = job->cached_tokens,
        .completion_tokens = job->completion_tokens,
        .prefill_us = first - admitted,
        .decode_us = now - first,
        .device_us = job->device_ns / 1000,
        .message = weir_str_from(job->message),
    };
    weir_tenant_shares_leave(&s->shares, job->share, now);
    s->config.job_ended(s->config.arg, job, &outcome);
}

static void flush(struct weir_scheduler *s)
{
    if (s->pushed) {
        s->pushed = false;
        s->config.sink->flush(s->config.sink);
    }
}

/* Reports the jobs that ended in this round and wakes the sink's readers. */
static void close_round(struct weir_scheduler *s)
{
    if (s->ended) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < s->n_live; i++) {
            if (s->live[i]->job->n_open > 0) {
                s->live[n++] = s->live[i];
            }
        }
        s->n_live = n;
    }
    while (s->ended) {
        struct weir_job *job = s->ended;
        s->ended = job->ended_next;
        report_end(s, job);
        s->pushed = true;
    }
    flush(s);
}

static uint64_t work_of(const struct weir_scheduler *s, uint32_t part)
{
    return part < s->n_decode_rows ? WEIR_SHARE_COMPLETION_TOKEN
                                   : (uint64_t)s->parts[part].n_tokens * WEIR_SHARE_PROMPT_TOKEN;
}

/* The step's time, divided among its tenants by work. */
static void pay_for_step(struct weir_scheduler *s, uint64_t took_us, uint64_t now_us)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < s->n_parts; i++) {
        total += work_of(s, i);
    }
    for (uint32_t i = 0; i < s->n_parts; i++) {
        struct weir_tenant_share *share = s->part_sequences[i]->job->share;
        weir_tenant_share_pay(share, took_us * work_of(s, i) / total, s->others_want);
        share->ran_us = now_us;
    }
}

void weir_scheduler_device_begins(struct weir_scheduler *s)
{
    if (s->config.step_state) {
        atomic_store(s->config.step_state, WEIR_STEP_RUNS);
    }
}

bool weir_scheduler_device_ends(struct weir_scheduler *s)
{
    uint32_t expected = WEIR_STEP_RUNS;
    return !s->config.step_state ||
           atomic_compare_exchange_strong(s->config.step_state, &expected, WEIR_STEP_NONE);
}

/* A step's time belongs to its sequences, by the tokens of each. */
static void charge_time(struct weir_scheduler *s, uint64_t took_us)
{
    for (uint32_t i = 0; i < s->n_parts; i++) {
        s->part_sequences[i]->job->device_ns +=
            took_us * 1000 * s->parts[i].n_tokens / s->n_step_tokens;
    }
}

static int step_at_once(struct weir_scheduler *s, const weir_step_batch *batch)
{
    weir_scheduler_device_begins(s);
    int r = s->config.backend->step(s->config.model, batch, s->results);
    return weir_scheduler_device_ends(s) ? r : WEIR_E_TIMEOUT;
}

/* Ends of sequences while the device is at work leave the batch as it is: their results are not
 * looked at. */
static int step_in_halves(struct weir_scheduler *s, const weir_step_batch *batch)
{
    const weir_backend_step *backend = s->config.backend;
    weir_scheduler_device_begins(s);
    int r = backend->step_begin(s->config.model, batch, s->results);
    if (!weir_scheduler_device_ends(s)) {
        return WEIR_E_TIMEOUT;
    }
    uint32_t n_parts = s->n_parts;
    s->n_parts = 0;
    weir_tokens_take_pending(s);
    flush(s);
    s->n_parts = n_parts;
    if (r < 0) {
        return r;
    }
    weir_scheduler_device_begins(s);
    r = backend->step_end(s->config.model);
    return weir_scheduler_device_ends(s) ? r : WEIR_E_TIMEOUT;
}

static int step(struct weir_scheduler *s)
{
    weir_step_batch batch = {
        .struct_size = sizeof(batch),
        .part_size = sizeof(weir_step_part),
        .parts = s->parts,
        .n_parts = s->n_parts,
        .n_tokens = s->n_step_tokens,
    };
    weir_step_result *results = s->last_results;
    s->last_results = s->results; /* pending tokens are there */
    s->results = results;
    memset(results, 0, s->n_parts * sizeof(*results));
    uint64_t began = weir_scheduler_now_us(s);
    int r = weir_tokens_overlap(s) ? step_in_halves(s, &batch) : step_at_once(s, &batch);
    if (r < 0) {
        return r;
    }
    uint64_t now = weir_scheduler_now_us(s);
    weir_pacer_record(&s->pacer, s->n_decode_rows, s->n_step_tokens - s->n_decode_rows,
                      now - began);
    charge_time(s, now - began);
    pay_for_step(s, now - began, now);
    s->config.counters->steps++;
    return 0;
}

/* A step of the batch and what comes of it. */
static int run_batch(struct weir_scheduler *s)
{
    int r = step(s);
    if (r < 0) {
        return r;
    }
    /* From here on nothing is taken out of the batch: ended sequences are skipped by their state,
     * and those that were paused meanwhile, which have no room for a token more: theirs is sampled
     * again. */
    uint32_t n_parts = s->n_parts;
    s->n_parts = 0;
    for (uint32_t i = 0; i < n_parts; i++) {
        if (weir_sequence_runs(s->part_sequences[i])) {
            weir_tokens_take_result(s, s->part_sequences[i], s->parts[i].n_tokens, &s->results[i]);
        }
    }
    return 0;
}

int weir_scheduler_run(struct weir_scheduler *s)
{
    uint64_t preemptions = s->config.counters->preemptions;
    s->idle_us = 0;
    weir_admission_run(s);
    weir_batch_build(s);
    bool has_batch = s->n_parts > 0;
    int r = has_batch ? run_batch(s) : 0;
    if (r < 0) {
        return r;
    }
    if (!has_batch) {
        weir_tokens_take_pending(s);
    }
    bool made_room = s->ended || s->config.counters->preemptions != preemptions;
    close_round(s); /* tokens are on their way before a piece of a chunk holds up the next ones */
    bool has_prefill = s->prefill.sequence != NULL;
    r = has_prefill ? weir_prefill_run(s) : 0;
    if (r < 0) {
        return r;
    }
    close_round(s);
    return has_batch || has_prefill || made_room;
}

uint64_t weir_scheduler_idle_us(const struct weir_scheduler *s)
{
    return s->idle_us;
}

void weir_scheduler_abort(struct weir_scheduler *s, int rc, const char *message)
{
    s->n_parts = s->n_pending = 0;
    for (uint32_t i = 0; i < s->n_live; i++) {
        weir_scheduler_fail_job(s, s->live[i]->job, rc, message);
    }
    close_round(s);
}

void weir_scheduler_status(const struct weir_scheduler *s, weir_target_status *status)
{
    status->running = status->waiting = 0;
    for (uint32_t i = 0; i < s->n_live; i++) {
        const struct weir_sequence *q = s->live[i];
        status->running += weir_sequence_runs(q) || q->slot != WEIR_NO_SLOT;
        status->waiting += weir_sequence_waits(q);
    }
    status->pages_total = weir_page_pool_n_pages(s->pool);
    status->pages_cached = weir_page_pool_n_kept(s->pool);
    status->pages_used = status->pages_total - weir_page_pool_n_available(s->pool);
    status->step_us = (uint64_t)s->pacer.step_us;
}
