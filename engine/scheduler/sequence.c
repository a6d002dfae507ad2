/* SPDX-License-Identifier: Apache-2.0 */
#include "sequence.h"

#include "engine/scheduler/job.h"

/* The output of a request with tools goes through a parser. */
static int add_tools(struct weir_sequence *q, const weir_generation *g)
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
                                 id_seed + q->choice, g->parallel_tool_calls != 0, &q->job->arena);
}

static int add_constraint(struct weir_sequence *q)
{
    const struct weir_prompt *prompt = q->job->prompt;
    q->constraint = weir_arena_alloc(&q->job->arena, sizeof(*q->constraint));
    return q->constraint ? weir_constraint_init(q->constraint, prompt->grammar, prompt->n_logits,
                                                &q->job->arena)
                         : WEIR_E_NOMEM;
}

static int copy_sampling(struct weir_sequence *q, const weir_generation *g)
{
    q->sampling = g->sampling;
    q->sampling.struct_size = sizeof(q->sampling);
    q->sampling.seed += q->choice;
    if (g->sampling.n_bias == 0) {
        q->sampling.bias = NULL;
        return 0;
    }
    weir_logit_bias *bias = weir_arena_array(&q->job->arena, g->sampling.n_bias, sizeof(*bias));
    if (!bias) {
        return WEIR_E_NOMEM;
    }
    memcpy(bias, g->sampling.bias, g->sampling.n_bias * sizeof(*bias));
    q->sampling.bias = bias;
    return 0;
}

int weir_sequence_init(struct weir_sequence *q, struct weir_job *job, uint32_t choice,
                       const weir_generation *g, const struct weir_vocabulary *vocabulary)
{
    const struct weir_prompt *prompt = job->prompt;
    struct weir_arena *arena = &job->arena;
    uint32_t cap = prompt->n_tokens + prompt->max_tokens;
    *q = (struct weir_sequence){
        .job = job,
        .choice = choice,
        .class_rank = job->class_rank,
        .state = WEIR_SEQUENCE_WAITING,
        .slot = WEIR_NO_SLOT,
        .n_tokens = prompt->n_tokens,
        .n_prompt = prompt->n_tokens,
        .max_tokens = prompt->max_tokens,
        .chain = prompt->root,
    };
    q->tokens = weir_arena_array(arena, cap, sizeof(*q->tokens));
    q->pages = weir_arena_array(arena, weir_pages_for(cap), sizeof(*q->pages));
    if (!q->tokens || !q->pages || copy_sampling(q, g) < 0) {
        return WEIR_E_NOMEM;
    }
    memcpy(q->tokens, prompt->tokens, prompt->n_tokens * sizeof(*q->tokens));
    weir_delivery_init(&q->delivery, job->ticket, choice, prompt->echo);
    int r = weir_output_init(&q->output, vocabulary, &prompt->stops, g->want_logprobs != 0, arena);
    if (r == 0 && prompt->grammar) {
        r = add_constraint(q);
    }
    return r == 0 && prompt->tool_format ? add_tools(q, g) : r;
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

static int compare_arrival(const struct weir_sequence *a, const struct weir_sequence *b)
{
    int c = compare_u64(a->job->order, b->job->order);
    return c ? c : compare_u64(a->choice, b->choice);
}

static int compare_priority(const struct weir_job *a, const struct weir_job *b)
{
    return (a->priority > b->priority) - (a->priority < b->priority);
}

int weir_sequence_rank(const struct weir_sequence *a, const struct weir_sequence *b)
{
    int c = compare_u64(a->job->class_rank, b->job->class_rank);
    c = c ? c : compare_priority(a->job, b->job);
    return c ? c : compare_arrival(a, b);
}

uint32_t weir_sequence_class(const struct weir_sequence *q, uint64_t now_us)
{
    uint64_t waited_us =
        weir_sequence_waits(q) && now_us > q->waits_since_us ? now_us - q->waits_since_us : 0;
    uint64_t lifts = waited_us / WEIR_CLASS_AGING_US;
    return lifts >= q->class_rank ? 0 : q->class_rank - (uint32_t)lifts;
}

int weir_sequence_turn(const struct weir_sequence *a, const struct weir_sequence *b)
{
    int c = 0;
    if (a->job->share != b->job->share) {
        c = weir_tenant_share_compare(a->job->share, b->job->share);
    }
    c = c ? c : compare_priority(a->job, b->job);
    if (c == 0) {
        c = (b->state == WEIR_SEQUENCE_PREEMPTED) - (a->state == WEIR_SEQUENCE_PREEMPTED);
    }
    return c ? c : compare_arrival(a, b);
}
