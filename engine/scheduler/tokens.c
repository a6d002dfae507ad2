/* SPDX-License-Identifier: Apache-2.0 */
/* What sampled tokens mean for their sequences: counts, the grammar, the end, text for the reader.
 */
#include "scheduler_internal.h"

void weir_tokens_deliver(struct weir_scheduler *s, struct weir_sequence *q)
{
    int r = weir_delivery_send(&q->delivery, &q->output, q->tools, q->finish, s->config.sink,
                               &s->scratch);
    s->pushed = true;
    if (r == 0 && q->finish != WEIR_FINISH_NONE) {
        weir_scheduler_end_sequence(s, q);
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

bool weir_tokens_overlap(const struct weir_scheduler *s)
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
        if (says == GOES_ON && result->n_tokens == 1 && weir_tokens_overlap(s)) {
            s->pending[s->n_pending++] = (struct weir_pending_token){q, result};
            q->state = weir_sequence_running_state(q);
            return;
        }
        take_text(s, q, result, i, says);
    }
    if (q->state != WEIR_SEQUENCE_DONE) {
        q->state = weir_sequence_running_state(q);
        weir_tokens_deliver(s, q);
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

void weir_tokens_take_result(struct weir_scheduler *s, struct weir_sequence *q, uint32_t n_fed,
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

void weir_tokens_take_pending(struct weir_scheduler *s)
{
    for (uint32_t i = 0; i < s->n_pending; i++) {
        struct weir_sequence *q = s->pending[i].sequence;
        if (q->state != WEIR_SEQUENCE_DONE) {
            take_text(s, q, s->pending[i].result, 0, GOES_ON);
        }
        if (q->state != WEIR_SEQUENCE_DONE) {
            weir_tokens_deliver(s, q);
        }
    }
    s->n_pending = 0;
}
