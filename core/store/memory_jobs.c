/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "core/store/memory_ops.h"

static struct weir_store_name name_of(const struct weir_store_call *c, enum weir_store_kind kind,
                                      weir_str id)
{
    return weir_store_name_of(kind, c->tenant, c->key, id);
}

static struct weir_store_entry *find(struct weir_store_place *p, const struct weir_store_call *c,
                                     enum weir_store_kind kind, weir_str id)
{
    struct weir_store_name name = name_of(c, kind, id);
    return weir_store_find(p->shard, &name, p->now_us);
}

static struct weir_store_entry *open_entry(struct weir_store_place *p,
                                           const struct weir_store_call *c,
                                           enum weir_store_kind kind, weir_str id)
{
    struct weir_store_name name = name_of(c, kind, id);
    struct weir_store_entry *e = weir_store_find(p->shard, &name, p->now_us);
    return e ? e : weir_store_insert(p->shard, &name, UINT64_MAX, p->now_us);
}

static void drop_job(struct weir_store_place *p, struct weir_store_entry *queue,
                     struct weir_store_entry *job)
{
    weir_store_remove(p->shard, job);
    if (queue->queue.heap.n == 0) {
        weir_store_remove(p->shard, queue);
    }
}

/* The new value takes the old one's place only when there is room for both. */
static bool fill_job(struct weir_store_place *p, const struct weir_store_call *c,
                     struct weir_store_entry *job)
{
    struct weir_store_bytes *value = weir_store_bytes_create(p->shard, c->id, c->value, 0);
    if (!value || !weir_store_grow(p->shard, job, weir_store_bytes_size(value))) {
        weir_store_bytes_destroy(p->shard, value);
        return false;
    }
    if (job->job.value) {
        weir_store_shrink(p->shard, job, weir_store_bytes_size(job->job.value));
        weir_store_bytes_destroy(p->shard, job->job.value);
    }
    job->job.value = value;
    job->job.n_claims = 0;
    return true;
}

void weir_store_memory_job_put(struct weir_store_place *p, const struct weir_store_call *c,
                               struct weir_store_answer *a)
{
    struct weir_store_entry *queue = open_entry(p, c, WEIR_STORE_QUEUE, (weir_str){NULL, 0});
    struct weir_store_entry *job = queue ? open_entry(p, c, WEIR_STORE_JOB, c->id) : NULL;
    bool ok = job && fill_job(p, c, job);
    if (ok) {
        job->wait.due_us = weir_store_in_ms(p, c->number);
        job->wait.order = queue->queue.n_ever++;
        ok = weir_store_wait(p->shard, queue, job);
    }
    if (!ok) {
        a->result.rc = WEIR_E_NOMEM;
        if (job && job->wait.at == 0) {
            weir_store_remove(p->shard, job);
        }
        if (queue && queue->queue.heap.n == 0) {
            weir_store_remove(p->shard, queue);
        }
    }
}

void weir_store_memory_job_claim(struct weir_store_place *p, const struct weir_store_call *c,
                                 struct weir_store_answer *a)
{
    struct weir_store_entry *queue = find(p, c, WEIR_STORE_QUEUE, (weir_str){NULL, 0});
    struct weir_store_bytes *claimed[WEIR_STORE_MAX_ITEMS];
    uint32_t wanted = c->n < WEIR_STORE_MAX_ITEMS ? c->n : WEIR_STORE_MAX_ITEMS, n = 0;
    size_t n_bytes = 0;
    struct weir_store_entry *job = queue ? weir_store_first_due(queue, p->now_us) : NULL;
    while (job && n < wanted) {
        size_t more = job->job.value->name_len + job->job.value->value_len;
        if (n && n_bytes + more > WEIR_STORE_MAX_REPLY_BYTES) {
            break;
        }
        n_bytes += more;
        job->job.value->number = ++job->job.n_claims;
        claimed[n++] = job->job.value;
        job->wait.due_us = weir_store_in_ms(p, c->number);
        job->wait.order = queue->queue.n_ever++;
        (void)weir_store_wait(p->shard, queue, job); /* moves it: needs no memory */
        job = weir_store_first_due(queue, p->now_us);
    }
    weir_store_answer_items(a, claimed, n);
}

void weir_store_memory_job_ack(struct weir_store_place *p, const struct weir_store_call *c,
                               struct weir_store_answer *a)
{
    struct weir_store_entry *job = find(p, c, WEIR_STORE_JOB, c->id);
    if (job) {
        drop_job(p, find(p, c, WEIR_STORE_QUEUE, (weir_str){NULL, 0}), job);
        a->result.number = 1;
    }
}
