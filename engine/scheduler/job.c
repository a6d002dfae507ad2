/* SPDX-License-Identifier: Apache-2.0 */
#include "job.h"

#include <stdlib.h>

/* Far above what the largest context needs; each part is bounded by prompt and max_tokens. */
static const size_t ARENA_LIMIT_BYTES = (size_t)1 << 32;

int weir_job_create(const weir_generation *generation, struct weir_prompt *prompt,
                    weir_ticket ticket, const struct weir_vocabulary *vocabulary,
                    struct weir_job **ret_job)
{
    struct weir_job *job = calloc(1, sizeof(*job));
    if (!job) {
        return WEIR_E_NOMEM;
    }
    job->ticket = ticket;
    job->class_rank = generation->class_rank;
    job->priority = generation->priority;
    job->ignore_eos = generation->ignore_eos != 0;
    job->want_logprobs = generation->want_logprobs != 0;
    job->n_top = job->want_logprobs ? generation->n_top : 0;
    job->terms = (struct weir_share_terms){
        .weight = generation->tenant_weight,
        .time_ppm = generation->tenant_share_ppm,
        .is_capped = generation->tenant_is_capped != 0,
    };
    job->max_pages = prompt->max_pages;
    weir_arena_init(&job->arena, ARENA_LIMIT_BYTES);
    uint32_t n = generation->n > 0 ? generation->n : 1;
    job->sequences = weir_arena_array(&job->arena, n, sizeof(*job->sequences));
    int r = job->sequences ? 0 : WEIR_E_NOMEM;
    job->n_sequences = job->n_open = r == 0 ? n : 0;
    job->prompt = prompt;
    for (uint32_t i = 0; r == 0 && i < n; i++) {
        r = weir_sequence_init(&job->sequences[i], job, i, generation, vocabulary);
    }
    if (r < 0) {
        job->prompt = NULL;
        weir_job_destroy(job);
        return r;
    }
    *ret_job = job;
    return 0;
}

void weir_job_destroy(struct weir_job *job)
{
    if (job) {
        for (uint32_t i = 0; i < job->n_sequences; i++) {
            weir_sequence_finish(&job->sequences[i]);
        }
        weir_prompt_destroy(job->prompt);
        weir_arena_finish(&job->arena);
        free(job);
    }
}
