/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/gpu/rank.h"

#include <stdlib.h>
#include <unistd.h>

enum {
    DEFAULT_SEQUENCES = 16,
    DEFAULT_STEP_TOKENS = 2048,
    SEQUENCES_MAX = 1024,
    STEP_TOKENS_MAX = 1 << 14,
    GRAPH_RESERVE_BYTES = 64 << 20, /* what the driver takes for graphs */
    PACK_THREADS_MAX = 16
};

static uint32_t or_default(uint32_t value, uint32_t fallback, uint32_t max)
{
    value = value ? value : fallback;
    return value < max ? value : max;
}

static int check_shape(const struct weir_hparams *hp, struct weir_error *err)
{
    return weir_attn_has_head_dim(hp->head_dim)
               ? 0
               : weir_error_set(err, WEIR_E_UNSUPPORTED,
                                "heads of %u dimensions: the GPU backends take 64, 80, 96, 128 and "
                                "256",
                                hp->head_dim);
}

static unsigned long long mb(uint64_t n_bytes)
{
    return (unsigned long long)(n_bytes >> 20);
}

/* What is free on the device, within the model's own budget. */
static int read_budget(struct weir_gpu_rank *m, uint64_t *ret_bytes, struct weir_error *err)
{
    uint64_t n_free = 0;
    uint64_t n_total = 0;
    int rc = m->device.api->memory_info(m->device.context, &n_free, &n_total);
    if (rc < 0) {
        return weir_gpu_error(&m->device, rc, "asking for free memory", err);
    }
    uint64_t limit = m->options.memory_bytes;
    *ret_bytes = limit > 0 && limit < n_free ? limit : n_free;
    return 0;
}

/* The pool takes the rest of the budget, less a tenth, but no more than all sequences at full
 * length. Refusing here is better than failing in the middle of a step. */
static int choose_pages(struct weir_gpu_rank *m, uint64_t kv_bytes, uint64_t budget_bytes,
                        struct weir_error *err)
{
    const uint64_t page = m->page_bytes;
    const uint64_t per_sequence = (m->limits.n_ctx + WEIR_PAGE_TOKENS - 1) / WEIR_PAGE_TOKENS;
    uint64_t scratch = 0;
    uint64_t pinned = 0;
    weir__gpu_scratch_sizes(m, &scratch, &pinned);
    uint64_t fixed = m->weights.memory_bytes + scratch + GRAPH_RESERVE_BYTES;
    uint64_t rest = budget_bytes > fixed ? (budget_bytes - fixed) / 10 * 9 : 0;
    if (kv_bytes > 0 && kv_bytes < rest) {
        rest = kv_bytes;
    }
    uint64_t n_pages = per_sequence * m->limits.max_parts;
    n_pages = n_pages < rest / page ? n_pages : rest / page;
    if (n_pages < per_sequence) {
        return weir_error_set(
            err, WEIR_E_NOMEM,
            "%s has %llu MB for this model; it needs %llu MB for weights, %llu MB for a step of %u "
            "tokens and %llu MB of KV for one sequence of %u tokens: lower context, step_budget or "
            "max_batch, or raise memory_mb or kv_memory",
            m->device.info.name, mb(budget_bytes), mb(m->weights.memory_bytes), mb(scratch),
            m->limits.max_rows, mb(per_sequence * page), m->limits.n_ctx);
    }
    m->limits.n_pages = n_pages < INT32_MAX ? (uint32_t)n_pages : INT32_MAX;
    return 0;
}

static int open_kv(struct weir_gpu_rank *m, struct weir_error *err)
{
    struct weir_gpu_device *d = &m->device;
    m->kv_bytes = m->limits.n_pages * m->page_bytes;
    int rc = d->api->alloc(d->context, m->kv_bytes, (void **)&m->kv);
    /* Never-written rows of a page may be read as padding of a tile: they must be numbers. */
    rc = rc < 0 ? rc : d->api->fill(d->stream, m->kv, 0, m->kv_bytes);
    return rc < 0 ? weir_gpu_error(d, rc, "memory for the KV pages", err) : 0;
}

static int open_events(struct weir_gpu_rank *m, struct weir_error *err)
{
    struct weir_gpu_device *d = &m->device;
    int rc = d->api->event_create(d->context, &m->begin_event);
    rc = rc < 0 ? rc : d->api->event_create(d->context, &m->end_event);
    rc = rc < 0 ? rc : d->api->event_create(d->context, &m->spare_event);
    return rc < 0 ? weir_gpu_error(d, rc, "creating events", err) : 0;
}

static uint32_t count_cores(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (uint32_t)n;
}

int weir__gpu_rank_open(const struct weir_gpu_backend *backend, uint32_t device,
                        const struct weir_gpu_share *share, const struct weir_gpu_options *options,
                        struct weir_gpu_rank **ret_rank, struct weir_error *err)
{
    struct weir_gpu_rank *m = calloc(1, sizeof(*m));
    if (!m) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    m->backend = backend;
    m->options = *options;
    m->share = *share;
    (void)pthread_mutex_init(&m->monitor_lock, NULL);
    int rc = weir_gpu_device_open(&m->device, backend, device, share->n_ranks > 1, err);
    rc = rc < 0 ? rc : open_events(m, err);
    if (rc < 0) {
        weir__gpu_rank_close(m);
        return rc;
    }
    if (backend->monitor) {
        m->monitor = backend->monitor->open(m->device.info.uuid);
    }
    *ret_rank = m;
    return 0;
}

int weir__gpu_rank_plan(struct weir_gpu_rank *m, const struct weir_model *source,
                        const weir_load_params *params, struct weir_error *err)
{
    const struct weir_hparams *whole = &source->hparams;
    struct weir_hparams *hp = &m->hparams;
    *hp = *whole;
    weir_gpu_share_hparams(&m->share, hp);
    m->page_bytes =
        weir_kv_page_bytes(m->options.kv_type, hp->n_layer, hp->n_head_kv, hp->head_dim);
    m->n_threads = or_default(params->n_threads, count_cores(), PACK_THREADS_MAX);
    m->limits = (struct weir_gpu_limits){
        .max_parts = or_default(params->max_sequences, DEFAULT_SEQUENCES, SEQUENCES_MAX),
        .max_rows = or_default(params->max_step_tokens, DEFAULT_STEP_TOKENS, STEP_TOKENS_MAX),
        .n_vocab = hp->n_vocab,
        .n_ctx = or_default(params->n_ctx, hp->n_ctx_train, hp->n_ctx_train),
    };
    if (m->limits.max_rows < m->limits.max_parts) {
        m->limits.max_rows = m->limits.max_parts;
    }
    const uint64_t kv_bytes = params->kv_bytes / whole->n_head_kv * hp->n_head_kv;
    uint64_t budget_bytes = 0;
    int rc = check_shape(hp, err);
    rc = rc < 0 ? rc : weir_gpu_device_use(&m->device);
    rc = rc < 0 ? rc : read_budget(m, &budget_bytes, err);
    rc = rc < 0 ? rc : weir__gpu_weights_plan(m, source, err);
    return rc < 0 ? rc : choose_pages(m, kv_bytes, budget_bytes, err);
}

int weir__gpu_rank_load(struct weir_gpu_rank *m, const struct weir_model *source,
                        const weir_load_params *params, struct weir_error *err)
{
    int rc = weir_gpu_device_use(&m->device);
    rc = rc < 0 ? weir_gpu_error(&m->device, rc, "loading", err) : weir__gpu_scratch_init(m, err);
    rc = rc < 0 ? rc : open_kv(m, err);
    rc = rc < 0 ? rc : weir__gpu_weights_load(m, source, params, err);
    if (rc >= 0) {
        rc = m->device.api->stream_sync(m->device.stream);
        rc = rc < 0 ? weir_gpu_error(&m->device, rc, "loading", err) : 0;
    }
    return rc;
}

void weir__gpu_rank_close(struct weir_gpu_rank *m)
{
    if (!m) {
        return;
    }
    const struct weir_gpu_api *api = m->device.api;
    if (m->monitor) {
        m->backend->monitor->close(m->monitor);
    }
    if (m->is_hung) {
        /* The driver would wait for the kernel that never ends. What the model held stays with it;
         * the process goes on. */
        m->device.context = NULL;
    }
    if (m->device.context && weir_gpu_device_use(&m->device) >= 0) {
        for (uint32_t i = 0; i < WEIR_GPU_BUCKETS; i++) {
            api->graph_destroy(m->graphs[i]);
        }
        api->event_destroy(m->begin_event);
        api->event_destroy(m->end_event);
        api->event_destroy(m->spare_event);
        api->release(m->device.context, m->kv);
    }
    weir__gpu_scratch_finish(m);
    weir__gpu_weights_finish(m);
    weir_gpu_device_close(&m->device);
    (void)pthread_mutex_destroy(&m->monitor_lock);
    free(m);
}

void weir__gpu_rank_health(struct weir_gpu_rank *m, struct weir_gpu_health *ret_health)
{
    if (m->monitor) {
        (void)pthread_mutex_lock(&m->monitor_lock);
        m->backend->monitor->read(m->monitor, ret_health);
        (void)pthread_mutex_unlock(&m->monitor_lock);
    }
}
