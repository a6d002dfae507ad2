/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/gpu/model_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "engine/gguf/gguf.h"

enum {
    DEFAULT_SEQUENCES = 16,
    DEFAULT_STEP_TOKENS = 2048,
    SEQUENCES_MAX = 1024,
    STEP_TOKENS_MAX = 1 << 14,
    HEAD_DIM_UNIT = 16,
    HEAD_DIM_MAX = 256,
    GRAPH_RESERVE_BYTES = 64 << 20, /* what the driver takes for graphs */
    PACK_THREADS_MAX = 16,
    TIMER_SLACK_NS = 1000
};

static uint32_t or_default(uint32_t value, uint32_t fallback, uint32_t max)
{
    value = value ? value : fallback;
    return value < max ? value : max;
}

static int check_shape(const struct weir_hparams *hp, struct weir_error *err)
{
    if (hp->head_dim % HEAD_DIM_UNIT != 0 || hp->head_dim > HEAD_DIM_MAX) {
        return weir_error_set(err, WEIR_E_UNSUPPORTED,
                              "heads of %u dimensions: the GPU backends take multiples of %d up "
                              "to %d",
                              hp->head_dim, HEAD_DIM_UNIT, HEAD_DIM_MAX);
    }
    return 0;
}

static unsigned long long mb(uint64_t n_bytes)
{
    return (unsigned long long)(n_bytes >> 20);
}

/* What is free on the device, within the model's own budget. */
static int read_budget(struct weir_gpu_model *m, uint64_t *ret_bytes, struct weir_error *err)
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
static int choose_pages(struct weir_gpu_model *m, const weir_load_params *params,
                        uint64_t budget_bytes, struct weir_error *err)
{
    const struct weir_hparams *hp = &m->hparams;
    const uint64_t page =
        weir_kv_page_bytes(m->options.kv_type, hp->n_layer, hp->n_head_kv, hp->head_dim);
    const uint64_t per_sequence = (m->limits.n_ctx + WEIR_PAGE_TOKENS - 1) / WEIR_PAGE_TOKENS;
    uint64_t scratch = 0;
    uint64_t pinned = 0;
    weir__gpu_scratch_sizes(m, &scratch, &pinned);
    uint64_t fixed = m->weights.memory_bytes + scratch + GRAPH_RESERVE_BYTES;
    uint64_t rest = budget_bytes > fixed ? (budget_bytes - fixed) / 10 * 9 : 0;
    if (params->kv_bytes > 0 && params->kv_bytes < rest) {
        rest = params->kv_bytes;
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
    m->kv_bytes = m->limits.n_pages * page;
    return 0;
}

static int open_kv(struct weir_gpu_model *m, struct weir_error *err)
{
    struct weir_gpu_device *d = &m->device;
    int rc = d->api->alloc(d->context, m->kv_bytes, (void **)&m->kv);
    /* Never-written rows of a page may be read as padding of a tile: they must be numbers. */
    rc = rc < 0 ? rc : d->api->fill(d->stream, m->kv, 0, m->kv_bytes);
    return rc < 0 ? weir_gpu_error(d, rc, "memory for the KV pages", err) : 0;
}

static int open_events(struct weir_gpu_model *m, struct weir_error *err)
{
    struct weir_gpu_device *d = &m->device;
    int rc = d->api->event_create(d->context, &m->begin_event);
    rc = rc < 0 ? rc : d->api->event_create(d->context, &m->end_event);
    rc = rc < 0 ? rc : d->api->event_create(d->context, &m->spare_event);
    return rc < 0 ? weir_gpu_error(d, rc, "creating events", err) : 0;
}

static void fill_info(struct weir_gpu_model *m, const struct weir_model *source)
{
    const struct weir_hparams *hp = &m->hparams;
    m->info = (weir_model_info){
        .struct_size = sizeof(m->info),
        .caps = WEIR_MODEL_CAN_LOGPROBS | WEIR_MODEL_CAN_MASK,
        .n_vocab = hp->n_vocab,
        .n_ctx = m->limits.n_ctx,
        .n_embd = hp->n_embd,
        .n_pages = m->limits.n_pages,
        .page_tokens = WEIR_PAGE_TOKENS,
        .max_sequences = m->limits.max_parts,
        .max_step_tokens = m->limits.max_rows,
        .n_threads = 1,
        .weight_bytes = m->weights.memory_bytes,
        .kv_bytes = m->kv_bytes,
        .scratch_bytes = m->scratch.memory_bytes,
        .kv_bytes_per_token =
            weir_kv_page_bytes(m->options.kv_type, hp->n_layer, hp->n_head_kv, hp->head_dim) /
            WEIR_PAGE_TOKENS,
        .step_bytes = m->weights.step_bytes,
    };
    const struct weir_gguf_tensor *down = source->weights.layers[0].down;
    snprintf(m->info.arch, sizeof(m->info.arch), "%s", hp->arch);
    snprintf(m->info.quant, sizeof(m->info.quant), "%s", weir_tensor_type_info(down->type)->name);
    snprintf(m->info.device, sizeof(m->info.device), "%s%u %s", m->backend->name, m->device.index,
             m->device.info.name);
}

static int load_on_device(struct weir_gpu_model *m, const struct weir_model *source,
                          const weir_load_params *params, struct weir_error *err)
{
    uint64_t budget_bytes = 0;
    int rc = check_shape(&m->hparams, err);
    rc = rc < 0 ? rc : weir_gpu_device_open(&m->device, m->backend, params->device, err);
    rc = rc < 0 ? rc : read_budget(m, &budget_bytes, err);
    rc = rc < 0 ? rc : weir__gpu_weights_plan(m, source, err);
    rc = rc < 0 ? rc : choose_pages(m, params, budget_bytes, err);
    rc = rc < 0 ? rc : weir__gpu_scratch_init(m, err);
    rc = rc < 0 ? rc : open_kv(m, err);
    rc = rc < 0 ? rc : open_events(m, err);
    rc = rc < 0 ? rc : weir__gpu_weights_load(m, source, params, err);
    if (rc >= 0) {
        rc = m->device.api->stream_sync(m->device.stream);
        rc = rc < 0 ? weir_gpu_error(&m->device, rc, "loading", err) : 0;
    }
    return rc;
}

static uint32_t count_cores(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (uint32_t)n;
}

int weir_gpu_model_create(const struct weir_gpu_backend *backend, const struct weir_model *source,
                          const weir_load_params *params, const struct weir_gpu_options *options,
                          struct weir_gpu_model **ret_model, struct weir_error *err)
{
    const struct weir_hparams *hp = &source->hparams;
    struct weir_gpu_model *m = calloc(1, sizeof(*m));
    if (!m) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    m->backend = backend;
    m->options = *options;
    m->hparams = *hp;
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
    (void)pthread_mutex_init(&m->monitor_lock, NULL);
    (void)prctl(PR_SET_TIMERSLACK, (unsigned long)TIMER_SLACK_NS); /* of this thread's naps */
    int rc = load_on_device(m, source, params, err);
    if (rc < 0) {
        weir_gpu_model_unload(m);
        return rc;
    }
    fill_info(m, source);
    if (backend->monitor) {
        m->monitor = backend->monitor->open(m->device.info.uuid);
    }
    *ret_model = m;
    return 0;
}

int weir_gpu_model_load(const struct weir_gpu_backend *backend, const weir_load_params *params,
                        const struct weir_gpu_options *options, struct weir_gpu_model **ret_model,
                        struct weir_error *err)
{
    char path[4096];
    if (params->file.n == 0 || params->file.n >= sizeof(path)) {
        return weir_error_set(err, WEIR_E_ARG, "the model's path is empty or too long");
    }
    snprintf(path, sizeof(path), "%.*s", (int)params->file.n, params->file.p);
    struct weir_gguf *gguf = NULL;
    struct weir_model source = {0};
    int rc = weir_gguf_open(path, &gguf, err);
    if (rc < 0) {
        return rc;
    }
    rc = weir_model_init(&source, gguf, err);
    if (rc >= 0) {
        rc = weir_gpu_model_create(backend, &source, params, options, ret_model, err);
        weir_model_finish(&source);
    }
    weir_gguf_destroy(gguf);
    return rc;
}

void weir_gpu_model_unload(struct weir_gpu_model *m)
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

const weir_model_info *weir_gpu_model_info(const struct weir_gpu_model *m)
{
    return &m->info;
}

static void give_health(struct weir_gpu_model *m,
                        void (*each)(void *arg, const char *name, double value), void *arg)
{
    struct weir_gpu_health health = {0};
    (void)pthread_mutex_lock(&m->monitor_lock);
    m->backend->monitor->read(m->monitor, &health);
    (void)pthread_mutex_unlock(&m->monitor_lock);
    for (int i = 0; i < WEIR_GPU_FIGURE__COUNT; i++) {
        if (health.known >> i & 1) {
            each(arg, weir_gpu_figure_names[i], health.values[i]);
        }
    }
}

void weir_gpu_model_stats(struct weir_gpu_model *m,
                          void (*each)(void *arg, const char *name, double value), void *arg)
{
    const struct weir_gpu_counters *c = &m->counters;
    each(arg, "steps", (double)c->n_steps);
    each(arg, "tokens", (double)c->n_tokens);
    each(arg, "gpu_step_seconds", (double)c->step_us * 1e-6);
    each(arg, "gpu_busy_seconds", (double)c->busy_us * 1e-6);
    each(arg, "gpu_gap_seconds", (double)c->gap_us * 1e-6);
    each(arg, "gpu_decode_rows", (double)c->decode_rows);
    each(arg, "gpu_decode_places", (double)c->decode_places);
    each(arg, "gpu_graph_steps", (double)c->graph_steps);
    each(arg, "gpu_eager_steps", (double)c->eager_steps);
    if (m->monitor) {
        give_health(m, each, arg);
    }
}
