/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/scheduler/prefill.h"

#include "scheduler_internal.h"

enum { ALONE_US = 40 * 1000 }; /* a piece while nobody decodes: others come, and some cancel */

bool weir_prefill_is_possible(const struct weir_scheduler *s)
{
    const weir_backend_step *backend = s->config.backend;
    return s->config.info->max_prefill_tokens > 0 && WEIR_HAS_FN(backend, prefill_begin) &&
           WEIR_HAS_FN(backend, prefill_run) && WEIR_HAS_FN(backend, prefill_drop);
}

uint32_t weir_prefill_room(const struct weir_scheduler *s)
{
    if (s->prefill.sequence) {
        return 0;
    }
    uint32_t paced = weir_pacer_prefill_tokens(&s->pacer, s->n_decode_rows);
    uint32_t most = s->config.info->max_prefill_tokens;
    return paced < most ? paced : most;
}

bool weir_prefill_begin(struct weir_scheduler *s, struct weir_sequence *q, uint32_t n_tokens)
{
    struct weir_prefill *c = &s->prefill;
    weir_step_part part;
    if (!weir_batch_make_part(s, q, n_tokens, &part)) {
        return false;
    }
    *c = (struct weir_prefill){.part = part};
    c->batch = (weir_step_batch){
        .struct_size = sizeof(c->batch),
        .part_size = sizeof(c->part),
        .parts = &c->part,
        .n_parts = 1,
        .n_tokens = n_tokens,
    };
    int r = s->config.backend->prefill_begin(s->config.model, &c->batch, &c->result);
    if (r < 0) {
        weir_scheduler_fail_job(s, q->job, r, "the backend could not begin a prompt's chunk");
        return false;
    }
    c->sequence = q;
    q->in_pieces = true;
    return true;
}

static void end(struct weir_scheduler *s)
{
    struct weir_sequence *q = s->prefill.sequence;
    uint32_t n_tokens = s->prefill.part.n_tokens;
    s->prefill.sequence = NULL;
    q->in_pieces = false;
    weir_pacer_record_prefill(&s->pacer, n_tokens, s->prefill.spent_us);
    weir_tokens_take_result(s, q, n_tokens, &s->prefill.result);
    weir_tokens_take_pending(s); /* the result may be another chunk's before the next step */
}

int weir_prefill_run(struct weir_scheduler *s)
{
    struct weir_prefill *c = &s->prefill;
    struct weir_job *job = c->sequence->job;
    uint32_t us = c->slows ? weir_pacer_piece_us(&s->pacer, s->n_decode_rows) : ALONE_US;
    uint64_t began = weir_scheduler_now_us(s);
    weir_scheduler_device_begins(s);
    int r = s->config.backend->prefill_run(s->config.model, us);
    r = weir_scheduler_device_ends(s) ? r : WEIR_E_TIMEOUT;
    if (r < 0) {
        return r;
    }
    uint64_t now = weir_scheduler_now_us(s);
    c->spent_us += now - began;
    job->device_ns += (now - began) * 1000;
    weir_tenant_share_pay(job->share, now - began, s->others_want);
    job->share->ran_us = now;
    if (r > 0) {
        end(s);
    }
    return 0;
}

void weir_prefill_drop(struct weir_scheduler *s, const struct weir_sequence *q)
{
    if (s->prefill.sequence != q) {
        return;
    }
    s->prefill.sequence->in_pieces = false;
    s->prefill.sequence = NULL;
    s->config.backend->prefill_drop(s->config.model);
}
