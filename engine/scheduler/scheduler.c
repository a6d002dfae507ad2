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

/* The sequence is over; its job, too, when it was the last one open. */
static void end_sequence(struct weir_scheduler *s, struct weir_sequence *q)
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
            end_sequence(s, &job->sequences[i]);
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

/* Sends what is settled. Afterwards the sequence runs on, is paused, or is over. */
static void deliver(struct weir_scheduler *s, struct weir_sequence *q)
{
    int r = weir_delivery_send(&q->delivery, &q->output, q->tools, q->finish, s->config.sink,
                               &s->scratch);
    s->pushed = true;
    if (r == 0 && q->finish != WEIR_FINISH_NONE) {
        end_sequence(s, q);
    } else if (r == 0 && q->state == WEIR_SEQUENCE_PAUSED) {
        q->state =
            q->slot == WEIR_NO_SLOT ? WEIR_SEQUENCE_PREEMPTED : weir_sequence_running_state(q);
    } else if (r == WEIR_E_BUSY) {
        q->state = WEIR_SEQUENCE_PAUSED;
        q->paused_at_us = weir_scheduler_now_us(s);
        if (q->finish != WEIR_FINISH_NONE) {
            weir_holdings_release(s, q); /* only text is left to send */
        }
    } else if (r < 0) {
        weir_scheduler_cancel(s, q->job);
    }
}

void weir_scheduler_wake(struct weir_scheduler *s, struct weir_job *job)
{
    for (uint32_t i = 0; i < job->n_sequences; i++) {
        if (job->sequences[i].state == WEIR_SEQUENCE_PAUSED) {
            deliver(s, &job->sequences[i]);
        }
    }
}

static void finish_sampling(struct weir_scheduler *s, struct weir_sequence *q,
                            enum weir_finish finish)
{
    q->finish = finish;
    weir_output_end(&q->output);
    if (q->tools && weir_tool_stream_feed(q->tools, &q->output, true) < 0) {
        weir_scheduler_fail_job(s, q->job, WEIR_E_NOMEM, "out of memory for tool calls");
    } else if (q->tools && finish == WEIR_FINISH_STOP && weir_tool_stream_has_calls(q->tools)) {
        q->finish = WEIR_FINISH_TOOL_CALLS;
    }
    uint32_t n = q->n_tokens - q->n_prompt;
    s->mean_completion += ((double)n - s->mean_completion) / 16;
}

/* Lets the tool parser read what is settled; true when the answer ends with a whole call. */
static bool feed_tools(struct weir_scheduler *s, struct weir_sequence *q)
{
    if (q->tools && weir_tool_stream_feed(q->tools, &q->output, false) < 0) {
        weir_scheduler_fail_job(s, q->job, WEIR_E_NOMEM, "out of memory for tool calls");
    }
    return q->tools && q->tools->complete;
}

/* Moves the grammar on; true when nothing but the end may follow. */
static bool advance_constraint(struct weir_scheduler *s, struct weir_sequence *q, int32_t token)
{
    if (!q->constraint) {
        return false;
    }
    if (weir_grammar_advance(&q->constraint->state, s->walker, token) < 0) {
        weir_scheduler_fail_job(s, q->job, WEIR_E_DEVICE,
                                "the backend sampled a token that the mask forbids");
    }
    return weir_grammar_is_complete(&q->constraint->state);
}

/* What a token alone says about its sequence. */
enum token_says { GOES_ON, IS_THE_END, IS_COMPLETE, IS_THE_LAST };

/* One sampled token, without its text. */
static enum token_says accept_token(struct weir_scheduler *s, struct weir_sequence *q,
                                    int32_t token)
{
    const struct weir_vocabulary *v = s->config.vocabulary;
    q->tokens[q->n_tokens++] = token;
    q->delivery.n_uncounted++;
    q->job->completion_tokens++;
    s->config.counters->completion_tokens++;
    weir_tenant_share_charge(q->job->share, WEIR_SHARE_COMPLETION_TOKEN);
    bool complete = advance_constraint(s, q, token);
    if (v->is_end(v->impl, token) && (q->constraint || !q->job->ignore_eos)) {
        return IS_THE_END;
    }
    return complete                                     ? IS_COMPLETE
           : q->n_tokens == q->n_prompt + q->max_tokens ? IS_THE_LAST
                                                        : GOES_ON;
}

/* Its text, and what follows from that. */
static void take_text(struct weir_scheduler *s, struct weir_sequence *q,
                      const weir_step_result *result, uint32_t index, enum token_says says)
{
    if (says == IS_THE_END) {
        finish_sampling(s, q, WEIR_FINISH_STOP);
    } else if (weir_output_add(&q->output, result, index) || feed_tools(s, q) ||
               says == IS_COMPLETE) {
        finish_sampling(s, q, WEIR_FINISH_STOP);
    } else if (says == IS_THE_LAST) {
        finish_sampling(s, q, WEIR_FINISH_LENGTH);
    }
}

static bool overlaps(const struct weir_scheduler *s)
{
    return WEIR_HAS_FN(s->config.backend, step_begin) && WEIR_HAS_FN(s->config.backend, step_end);
}

/* Sampled tokens: as text at once, or, where the sequence goes on and the device works by itself,
 * while it is at the next step. */
static void take_tokens(struct weir_scheduler *s, struct weir_sequence *q,
                        const weir_step_result *result)
{
    for (uint32_t i = 0;
         i < result->n_tokens && q->finish == WEIR_FINISH_NONE && q->state != WEIR_SEQUENCE_DONE;
         i++) {
        enum token_says says = accept_token(s, q, result->tokens[i]);
        if (q->state == WEIR_SEQUENCE_DONE) {
            return;
        }
        if (says == GOES_ON && result->n_tokens == 1 && overlaps(s)) {
            s->pending[s->n_pending++] = (struct weir_pending_token){q, result};
            q->state = weir_sequence_running_state(q);
            return;
        }
        take_text(s, q, result, i, says);
    }
    if (q->state != WEIR_SEQUENCE_DONE) {
        q->state = weir_sequence_running_state(q);
        deliver(s, q);
    }
}

static void count_computed(struct weir_scheduler *s, struct weir_sequence *q, uint32_t n)
{
    struct weir_scheduler_counters *c = s->config.counters;
    c->step_tokens += n;
    if (q->n_preempted > 0 && q->state == WEIR_SEQUENCE_PREFILL) {
        c->recomputed_tokens += n;
    } else if (q->state == WEIR_SEQUENCE_PREFILL || q->n_tokens == q->n_prompt) {
        c->prompt_tokens += n;
        weir_tenant_share_charge(q->job->share, (uint64_t)n * WEIR_SHARE_PROMPT_TOKEN);
    }
}

static bool tokens_valid(const struct weir_scheduler *s, const weir_step_result *r)
{
    if (r->n_tokens == 0 || r->n_tokens > WEIR_STEP_MAX_TOKENS_OUT || r->n_top > 20) {
        return false;
    }
    for (uint32_t i = 0; i < r->n_tokens; i++) {
        if (r->tokens[i] < 0 || (uint32_t)r->tokens[i] >= s->config.info->n_vocab) {
            return false;
        }
    }
    return true;
}

static void take_result(struct weir_scheduler *s, struct weir_sequence *q, uint32_t n_fed,
                        const weir_step_result *result)
{
    if (result->rc < 0) {
        weir_scheduler_fail_job(s, q->job, result->rc, "the backend failed on this sequence");
        return;
    }
    count_computed(s, q, n_fed);
    q->n_computed += n_fed;
    weir_holdings_publish(s, q);
    if (q->n_computed < q->n_tokens) {
        q->state = weir_sequence_running_state(q);
        return;
    }
    if (!tokens_valid(s, result)) {
        weir_scheduler_fail_job(s, q->job, WEIR_E_DEVICE, "the backend sampled no valid token");
        return;
    }
    if (q->choice == 0 && q->job->first_token_us == 0) {
        q->job->first_token_us = weir_scheduler_now_us(s);
    }
    take_tokens(s, q, result);
}

/* The text of the last step's tokens. */
static void take_pending(struct weir_scheduler *s)
{
    for (uint32_t i = 0; i < s->n_pending; i++) {
        struct weir_sequence *q = s->pending[i].sequence;
        if (q->state != WEIR_SEQUENCE_DONE) {
            take_text(s, q, s->pending[i].result, 0, GOES_ON);
        }
        if (q->state != WEIR_SEQUENCE_DONE) {
            deliver(s, q);
        }
    }
    s->n_pending = 0;
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

static void set_running(struct weir_scheduler *s)
{
    if (s->config.step_state) {
        atomic_store(s->config.step_state, WEIR_STEP_RUNS);
    }
}

static bool was_given_up(struct weir_scheduler *s)
{
    uint32_t expected = WEIR_STEP_RUNS;
    return s->config.step_state &&
           !atomic_compare_exchange_strong(s->config.step_state, &expected, WEIR_STEP_NONE);
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
    set_running(s);
    int r = s->config.backend->step(s->config.model, batch, s->results);
    return was_given_up(s) ? WEIR_E_TIMEOUT : r;
}

/* Ends of sequences while the device is at work leave the batch as it is: their results are not
 * looked at. */
static int step_in_halves(struct weir_scheduler *s, const weir_step_batch *batch)
{
    const weir_backend_step *backend = s->config.backend;
    set_running(s);
    int r = backend->step_begin(s->config.model, batch, s->results);
    if (was_given_up(s)) {
        return WEIR_E_TIMEOUT;
    }
    uint32_t n_parts = s->n_parts;
    s->n_parts = 0;
    take_pending(s);
    flush(s);
    s->n_parts = n_parts;
    if (r < 0) {
        return r;
    }
    set_running(s);
    r = backend->step_end(s->config.model);
    return was_given_up(s) ? WEIR_E_TIMEOUT : r;
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
    int r = overlaps(s) ? step_in_halves(s, &batch) : step_at_once(s, &batch);
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

int weir_scheduler_run(struct weir_scheduler *s)
{
    uint64_t preemptions = s->config.counters->preemptions;
    s->idle_us = 0;
    weir_admission_run(s);
    weir_batch_build(s);
    if (s->n_parts == 0) {
        take_pending(s);
        bool made_room = s->ended || s->config.counters->preemptions != preemptions;
        close_round(s);
        return made_room;
    }
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
            take_result(s, s->part_sequences[i], s->parts[i].n_tokens, &s->results[i]);
        }
    }
    close_round(s);
    return 1;
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
