/* SPDX-License-Identifier: Apache-2.0 */
#include "sequence.h"

#include "engine/scheduler/job.h"

/* The output of a request with tools goes through a parser. */
static int add_tools(struct weir_sequence *q)
{
    const struct weir_prompt *prompt = q->job->prompt;
    struct weir_tool_stream *tools = weir_arena_alloc(&q->job->arena, sizeof(*tools));
    if (!tools) {
        return WEIR_E_NOMEM;
    }
    q->tools = tools;
    q->output.shows_control = true;
    /* The tenant's key holds random bits of the process: ids do not repeat after a restart. */
    uint64_t id_seed = prompt->root.high ^ q->job->ticket * 0x9E3779B97F4A7C15u;
    return weir_tool_stream_init(tools, prompt->tool_format, yyjson_doc_get_root(prompt->tools),
                                 id_seed + q->choice, q->job->generation->parallel_tool_calls != 0,
                                 &q->job->arena);
}

static int add_constraint(struct weir_sequence *q)
{
    const struct weir_prompt *prompt = q->job->prompt;
    q->constraint = weir_arena_alloc(&q->job->arena, sizeof(*q->constraint));
    return q->constraint ? weir_constraint_init(q->constraint, prompt->grammar, prompt->n_logits,
                                                &q->job->arena)
                         : WEIR_E_NOMEM;
}

int weir_sequence_init(struct weir_sequence *q, struct weir_job *job, uint32_t choice,
                       const struct weir_vocabulary *vocabulary)
{
    const weir_generation *g = job->generation;
    const struct weir_prompt *prompt = job->prompt;
    struct weir_arena *arena = &job->arena;
    uint32_t cap = prompt->n_tokens + prompt->max_tokens;
    *q = (struct weir_sequence){
        .job = job,
        .choice = choice,
        .state = WEIR_SEQUENCE_WAITING,
        .slot = WEIR_NO_SLOT,
        .n_tokens = prompt->n_tokens,
        .n_prompt = prompt->n_tokens,
        .max_tokens = prompt->max_tokens,
        .chain = prompt->root,
        .sampling = g->sampling,
    };
    q->sampling.struct_size = sizeof(q->sampling);
    q->sampling.seed += choice;
    q->tokens = weir_arena_array(arena, cap, sizeof(*q->tokens));
    q->pages = weir_arena_array(arena, weir_pages_for(cap), sizeof(*q->pages));
    if (!q->tokens || !q->pages) {
        return WEIR_E_NOMEM;
    }
    memcpy(q->tokens, prompt->tokens, prompt->n_tokens * sizeof(*q->tokens));
    weir_delivery_init(&q->delivery, job->ticket, choice, prompt->echo);
    int r = weir_output_init(&q->output, vocabulary, &prompt->stops, g->want_logprobs != 0, arena);
    if (r == 0 && prompt->grammar) {
        r = add_constraint(q);
    }
    return r == 0 && prompt->tool_format ? add_tools(q) : r;
}

void weir_sequence_finish(struct weir_sequence *q)
{
    if (q->tools) {
        weir_tool_stream_finish(q->tools);
    }
}

static int compare_u64(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int compare_precedence(const struct weir_generation *a, const struct weir_generation *b)
{
    int c = compare_u64(a->class_rank, b->class_rank);
    return c ? c : (a->priority > b->priority) - (a->priority < b->priority);
}

static int compare_arrival(const struct weir_sequence *a, const struct weir_sequence *b)
{
    int c = compare_u64(a->job->order, b->job->order);
    return c ? c : compare_u64(a->choice, b->choice);
}

int weir_sequence_rank(const struct weir_sequence *a, const struct weir_sequence *b)
{
    int c = compare_precedence(a->job->generation, b->job->generation);
    return c ? c : compare_arrival(a, b);
}

int weir_sequence_turn(const struct weir_sequence *a, const struct weir_sequence *b)
{
    int c = compare_precedence(a->job->generation, b->job->generation);
    if (c == 0) {
        c = (b->state == WEIR_SEQUENCE_PREEMPTED) - (a->state == WEIR_SEQUENCE_PREEMPTED);
    }
    if (c == 0) {
        c = compare_u64(a->job->share->served, b->job->share->served);
    }
    return c ? c : compare_arrival(a, b);
}
