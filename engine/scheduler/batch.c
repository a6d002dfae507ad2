/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the next step: one row per decoding sequence, then prompt chunks. */
#include "scheduler_internal.h"

#include <assert.h>

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

/* False when the sequence's job failed instead. */
static bool add_part(struct weir_scheduler *s, struct weir_sequence *q, uint32_t n_tokens)
{
    assert(s->n_parts < s->config.max_batch && q->slot != WEIR_NO_SLOT);
    const weir_generation *g = q->job->generation;
    bool samples = q->n_computed + n_tokens == q->n_tokens;
    if (samples && !make_mask(s, q)) {
        return false;
    }
    weir_step_part *part = &s->parts[s->n_parts];
    *part = (weir_step_part){
        .slot = q->slot,
        .pos = q->n_computed,
        .n_tokens = n_tokens,
        .tokens = q->tokens + q->n_computed,
        .pages = q->pages,
        .n_pages = q->n_pages,
    };
    if (samples) {
        part->flags = WEIR_STEP_SAMPLE | (g->want_logprobs ? WEIR_STEP_LOGPROBS : 0);
        part->n_top = g->want_logprobs ? g->n_top : 0;
        part->sampling = &q->sampling;
        part->history = q->tokens;
        part->n_history = q->n_tokens;
        part->n_history_prompt = q->n_prompt;
        part->sample_index = q->n_tokens - q->n_prompt;
        part->mask = q->constraint ? q->constraint->mask : NULL;
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
        if (q->state == WEIR_SEQUENCE_DECODE &&
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

static void add_prompt_chunks(struct weir_scheduler *s)
{
    uint32_t room = s->config.max_step_tokens - s->n_step_tokens;
    if (s->n_decode_rows > 0) {
        uint32_t paced = weir_pacer_prompt_tokens(&s->pacer, s->n_decode_rows);
        room = paced < room ? paced : room;
    }
    for (uint32_t i = 0; i < s->n_live && room > 0; i++) {
        struct weir_sequence *q = s->live[i];
        if (q->state != WEIR_SEQUENCE_PREFILL) {
            continue;
        }
        /* Another one with the same prefix may have been faster. */
        weir_holdings_count_match(s, q, weir_holdings_match(s, q));
        uint32_t rest = q->n_tokens - q->n_computed;
        uint32_t n = align_chunk(q, rest < room ? rest : room);
        uint32_t covered = weir_holdings_cover(s, q, q->n_computed + n);
        if (covered <= q->n_computed) {
            continue;
        }
        n = covered - q->n_computed;
        room -= add_part(s, q, n) ? n : 0;
    }
}

void weir_batch_build(struct weir_scheduler *s)
{
    s->n_parts = s->n_step_tokens = s->n_decode_rows = 0;
    add_decode_rows(s);
    add_prompt_chunks(s);
}
