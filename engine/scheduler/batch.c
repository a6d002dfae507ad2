/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the next step: one row per decoding sequence, then prompt chunks, where these are
 * not worked off in pieces beside it. */
#include "scheduler_internal.h"

#include <assert.h>

/* A step with the prompts of a tenant that runs several sequences, where there are other tenants:
 * one of these waits for its end at most. */
enum { SLICE_US = 40 * 1000 };

/* False when the grammar has come to a dead end; the job has failed. */
static bool make_mask(struct weir_scheduler *s, struct weir_sequence *q)
{
    struct weir_constraint *c = q->constraint;
    if (!c || weir_grammar_mask(&c->state, s->walker, c->mask) == 0) {
        return true;
    }
    weir_scheduler_fail_job(s, q->job, WEIR_E_INTERNAL, "no token fits the grammar");
    return false;
}

bool weir_batch_make_part(struct weir_scheduler *s, struct weir_sequence *q, uint32_t n_tokens,
                          weir_step_part *ret_part)
{
    assert(q->slot != WEIR_NO_SLOT && !q->in_pieces);
    const struct weir_job *job = q->job;
    bool samples = q->n_computed + n_tokens == q->n_tokens;
    if (samples && !make_mask(s, q)) {
        return false;
    }
    weir_step_part *part = ret_part;
    *part = (weir_step_part){
        .slot = q->slot,
        .pos = q->n_computed,
        .n_tokens = n_tokens,
        .tokens = q->tokens + q->n_computed,
        .pages = q->pages,
        .n_pages = q->n_pages,
    };
    if (samples) {
        part->flags = WEIR_STEP_SAMPLE | (job->want_logprobs ? WEIR_STEP_LOGPROBS : 0);
        part->n_top = job->n_top;
        part->sampling = &q->sampling;
        part->history = q->tokens;
        part->n_history = q->n_tokens;
        part->n_history_prompt = q->n_prompt;
        part->sample_index = q->n_tokens - q->n_prompt;
        part->mask = q->constraint ? q->constraint->mask : NULL;
    }
    return true;
}

/* False when the sequence's job failed instead. */
static bool add_part(struct weir_scheduler *s, struct weir_sequence *q, uint32_t n_tokens)
{
    assert(s->n_parts < s->config.max_batch);
    if (!weir_batch_make_part(s, q, n_tokens, &s->parts[s->n_parts])) {
        return false;
    }
    s->part_sequences[s->n_parts++] = q;
    s->n_step_tokens += n_tokens;
    return true;
}

void weir_batch_drop(struct weir_scheduler *s, const struct weir_sequence *q)
{
    uint32_t i = 0;
    while (i < s->n_parts && s->part_sequences[i] != q) {
        i++;
    }
    if (i == s->n_parts) {
        return;
    }
    s->n_step_tokens -= s->parts[i].n_tokens;
    s->n_decode_rows -= i < s->n_decode_rows;
    s->n_parts--;
    for (; i < s->n_parts; i++) {
        s->parts[i] = s->parts[i + 1];
        s->part_sequences[i] = s->part_sequences[i + 1];
    }
}

static void add_decode_rows(struct weir_scheduler *s)
{
    for (uint32_t i = 0; i < s->n_live && s->n_step_tokens < s->config.max_step_tokens; i++) {
        struct weir_sequence *q = s->live[i];
        if (q->state == WEIR_SEQUENCE_DECODE && !q->job->share->sits_out &&
            weir_holdings_cover(s, q, q->n_tokens) == q->n_tokens && add_part(s, q, 1)) {
            s->n_decode_rows++;
        }
    }
}

/* Cuts a chunk of n tokens at a page's end where that costs little: whole pages can be shared, and
 * begin at a boundary again. */
static uint32_t align_chunk(const struct weir_sequence *q, uint32_t n)
{
    uint32_t end = q->n_computed + n;
    uint32_t over = end % WEIR_PAGE_TOKENS;
    bool whole_rest = end == q->n_tokens;
    return whole_rest || n < 4 * WEIR_PAGE_TOKENS ? n : n - over;
}

/* Rows whose smoothness counts against a prompt of this tenant: not those of tenants that crowd it.
 */
static bool is_slowed_by(const struct weir_scheduler *s, const struct weir_tenant_share *share)
{
    for (uint32_t i = 0; i < s->n_decode_rows; i++) {
        if (!weir_tenant_share_crowds(s->part_sequences[i]->job->share, share)) {
            return true;
        }
    }
    return false;
}

/* The tenant's prompts are computed in pieces beside this step, not in it. */
static bool goes_in_pieces(const struct weir_scheduler *s, const struct weir_tenant_share *share)
{
    return weir_prefill_is_possible(s) && is_slowed_by(s, share);
}

/* Prompt tokens for the tenant in this step, while n_taken are in it. */
static uint32_t prompt_room(const struct weir_scheduler *s, const struct weir_tenant_share *share,
                            bool several, uint32_t n_taken)
{
    uint32_t room = s->config.max_step_tokens - s->n_step_tokens;
    uint32_t most = UINT32_MAX;
    if (is_slowed_by(s, share)) {
        most = weir_pacer_prompt_tokens(&s->pacer, s->n_decode_rows);
    } else if (several && share->n_slots > 1) {
        most = weir_pacer_tokens_in(&s->pacer, SLICE_US); /* others may come any moment */
    }
    most = most > n_taken ? most - n_taken : 0;
    return most < room ? most : room;
}

static bool has_prompt_to_compute(const struct weir_sequence *q)
{
    return q->state == WEIR_SEQUENCE_PREFILL && !q->in_pieces && !q->job->share->sits_out;
}

/* The next chunk of q's prompt, at most room tokens, gets its pages; how many it has. */
static uint32_t prepare_chunk(struct weir_scheduler *s, struct weir_sequence *q, uint32_t room)
{
    /* Another one with the same prefix may have been faster. */
    weir_holdings_count_match(s, q, weir_holdings_match(s, q));
    uint32_t rest = q->n_tokens - q->n_computed;
    uint32_t n = align_chunk(q, rest < room ? rest : room);
    uint32_t covered = weir_holdings_cover(s, q, q->n_computed + n);
    return covered > q->n_computed ? covered - q->n_computed : 0;
}

static void add_prompt_chunks(struct weir_scheduler *s, uint64_t now)
{
    const bool several = weir_tenant_shares_are_several(&s->shares, now);
    const struct weir_tenant_share *first = NULL; /* of the tenants with a chunk in this step */
    const uint64_t look = weir_turn_begin(s);
    uint32_t n_taken = 0;
    struct weir_sequence *q;
    while ((q = weir_turn_next(s, look, has_prompt_to_compute, now)) != NULL) {
        const struct weir_tenant_share *share = q->job->share;
        if (first && first != share && weir_tenant_share_crowds(share, first)) {
            continue; /* who is crowded waits for no more than its own chunk */
        }
        bool in_pieces = goes_in_pieces(s, share);
        uint32_t room = in_pieces ? weir_prefill_room(s) : prompt_room(s, share, several, n_taken);
        uint32_t n = room > 0 ? prepare_chunk(s, q, room) : 0;
        if (n == 0 || !(in_pieces ? weir_prefill_begin(s, q, n) : add_part(s, q, n))) {
            continue;
        }
        first = !first ? share : first;
        n_taken += in_pieces ? 0 : n;
    }
}

/* Who has used up its time sits out: if capped always, else while somebody who has not can run. */
static void choose_who_sits_out(struct weir_scheduler *s, uint64_t now)
{
    s->others_want = false;
    for (uint32_t i = 0; i < s->n_live; i++) {
        struct weir_sequence *q = s->live[i];
        struct weir_tenant_share *share = q->job->share;
        share->sits_out = weir_tenant_share_owes(share, now);
        s->others_want |= !share->sits_out && weir_sequence_runs(q);
    }
    for (uint32_t i = 0; i < s->n_live; i++) {
        struct weir_tenant_share *share = s->live[i]->job->share;
        share->sits_out = share->sits_out && (share->terms.is_capped || s->others_want);
    }
}

static uint64_t find_idle_us(const struct weir_scheduler *s)
{
    uint64_t least = 0;
    for (uint32_t i = 0; i < s->n_live; i++) {
        const struct weir_sequence *q = s->live[i];
        uint64_t us = weir_tenant_share_owes_for_us(q->job->share);
        if (q->job->share->sits_out && weir_sequence_runs(q) && (least == 0 || us < least)) {
            least = us;
        }
    }
    return least;
}

void weir_batch_build(struct weir_scheduler *s)
{
    uint64_t now = weir_scheduler_now_us(s);
    s->n_parts = s->n_step_tokens = s->n_decode_rows = 0;
    choose_who_sits_out(s, now);
    add_decode_rows(s);
    add_prompt_chunks(s, now);
    s->prefill.slows = s->prefill.sequence && is_slowed_by(s, s->prefill.sequence->job->share);
    s->idle_us = s->n_parts == 0 ? find_idle_us(s) : 0;
}
