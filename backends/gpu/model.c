/* SPDX-License-Identifier: Apache-2.0 */
/* A model over its devices: one rank for each, which load one after the other and step together. */
#include "backends/gpu/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "backends/gpu/rank.h"
#include "engine/gguf/gguf.h"

enum { TIMER_SLACK_NS = 1000 };

struct weir_gpu_model {
    struct weir_gpu_rank *ranks[WEIR_GPU_RANKS_MAX];
    uint32_t n_ranks;
    struct weir_gpu_group group; /* zeroed where there is one rank */
    /* What ranks other than the first say of a step's parts, which is the same. */
    weir_step_result *echoes[WEIR_GPU_RANKS_MAX];
    const weir_step_batch *batch; /* of the step that runs */
    int begin_rc;                 /* of its begin on the first rank */
    weir_model_info info;
};

/* Of this thread, which naps while it waits for the device. */
static void nap_exactly(void)
{
    (void)prctl(PR_SET_TIMERSLACK, (unsigned long)TIMER_SLACK_NS);
}

static int open_ranks(struct weir_gpu_model *m, const struct weir_gpu_backend *backend,
                      const struct weir_model *source, const uint32_t *devices, uint32_t n,
                      const struct weir_gpu_options *options, struct weir_error *err)
{
    for (uint32_t i = 0; i < n; i++) {
        struct weir_gpu_share share;
        int rc = weir_gpu_share_find(source, i, n, &share, err);
        rc = rc < 0 ? rc
                    : weir__gpu_rank_open(backend, devices[i], &share, options, &m->ranks[i], err);
        if (rc < 0) {
            return rc;
        }
        m->n_ranks++;
    }
    return 0;
}

static int try_sum(void *arg, uint32_t rank)
{
    nap_exactly();
    return weir__gpu_rank_try_sum(((struct weir_gpu_model *)arg)->ranks[rank]);
}

/* Joins the devices; before memory is planned, as the library takes some of it. */
static int join_ranks(struct weir_gpu_model *m, const uint32_t *devices, struct weir_error *err)
{
    const struct weir_gpu_backend *backend = m->ranks[0]->backend;
    int rc = weir_gpu_group_open(&m->group, backend, devices, m->n_ranks, err);
    if (rc < 0) {
        return rc;
    }
    for (uint32_t i = 0; i < m->n_ranks; i++) {
        m->ranks[i]->group = &m->group;
    }
    rc = weir_gpu_group_run(&m->group, try_sum, m);
    return rc < 0 ? weir_error_set(err, rc, "joining %u devices: %s", m->n_ranks,
                                   weir_gpu_model_failure(m))
                  : 0;
}

/* Pages have the same numbers on all devices: the smallest pool decides. */
static int plan_ranks(struct weir_gpu_model *m, const struct weir_model *source,
                      const weir_load_params *params, struct weir_error *err)
{
    uint32_t n_pages = UINT32_MAX;
    for (uint32_t i = 0; i < m->n_ranks; i++) {
        int rc = weir__gpu_rank_plan(m->ranks[i], source, params, err);
        if (rc < 0) {
            return rc;
        }
        uint32_t n = m->ranks[i]->limits.n_pages;
        n_pages = n < n_pages ? n : n_pages;
    }
    for (uint32_t i = 0; i < m->n_ranks; i++) {
        m->ranks[i]->limits.n_pages = n_pages;
    }
    return 0;
}

static int load_ranks(struct weir_gpu_model *m, const struct weir_model *source,
                      const weir_load_params *params, struct weir_error *err)
{
    const uint32_t n_parts = m->ranks[0]->limits.max_parts;
    int rc = 0;
    for (uint32_t i = 0; rc >= 0 && i < m->n_ranks; i++) {
        m->echoes[i] = i > 0 ? calloc(n_parts, sizeof(*m->echoes[i])) : NULL;
        if (i > 0 && !m->echoes[i]) {
            return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
        }
        rc = weir__gpu_rank_load(m->ranks[i], source, params, err);
    }
    return rc;
}

/* "cuda0,1 NVIDIA H100 80GB HBM3" */
static void name_devices(const struct weir_gpu_model *m, char *out, size_t cap)
{
    int n = snprintf(out, cap, "%s", m->ranks[0]->backend->name);
    for (uint32_t i = 0; i < m->n_ranks && n > 0 && (size_t)n < cap; i++) {
        n +=
            snprintf(out + n, cap - (size_t)n, "%s%u", i > 0 ? "," : "", m->ranks[i]->device.index);
    }
    if (n > 0 && (size_t)n < cap) {
        (void)snprintf(out + n, cap - (size_t)n, " %s", m->ranks[0]->device.info.name);
    }
}

static void fill_info(struct weir_gpu_model *m, const struct weir_model *source)
{
    const struct weir_gpu_rank *first = m->ranks[0];
    m->info = (weir_model_info){
        .struct_size = sizeof(m->info),
        .caps = WEIR_MODEL_CAN_LOGPROBS | WEIR_MODEL_CAN_MASK,
        .n_vocab = first->limits.n_vocab,
        .n_ctx = first->limits.n_ctx,
        .n_embd = first->hparams.n_embd,
        .n_pages = first->limits.n_pages,
        .page_tokens = WEIR_PAGE_TOKENS,
        .max_sequences = first->limits.max_parts,
        .max_step_tokens = first->limits.max_rows,
        .n_threads = 1,
    };
    for (uint32_t i = 0; i < m->n_ranks; i++) {
        const struct weir_gpu_rank *r = m->ranks[i];
        m->info.weight_bytes += r->weights.memory_bytes;
        m->info.kv_bytes += r->kv_bytes;
        m->info.scratch_bytes += r->scratch.memory_bytes;
        m->info.kv_bytes_per_token += r->page_bytes / WEIR_PAGE_TOKENS;
        m->info.step_bytes += r->weights.step_bytes;
    }
    const struct weir_gguf_tensor *down = source->weights.layers[0].down;
    snprintf(m->info.arch, sizeof(m->info.arch), "%s", source->hparams.arch);
    snprintf(m->info.quant, sizeof(m->info.quant), "%s", weir_tensor_type_info(down->type)->name);
    name_devices(m, m->info.device, sizeof(m->info.device));
}

int weir_gpu_model_create(const struct weir_gpu_backend *backend, const struct weir_model *source,
                          const weir_load_params *params, const struct weir_gpu_options *options,
                          struct weir_gpu_model **ret_model, struct weir_error *err)
{
    const bool has_list = WEIR_HAS(params, n_devices) && params->n_devices > 1;
    const uint32_t n = has_list ? params->n_devices : 1;
    const uint32_t *devices = has_list ? params->devices : &params->device;
    struct weir_gpu_model *m = n <= WEIR_GPU_RANKS_MAX ? calloc(1, sizeof(*m)) : NULL;
    if (!m) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory for a model on %u devices", n);
    }
    nap_exactly();
    int rc = open_ranks(m, backend, source, devices, n, options, err);
    rc = rc < 0 || n == 1 ? rc : join_ranks(m, devices, err);
    rc = rc < 0 ? rc : plan_ranks(m, source, params, err);
    rc = rc < 0 ? rc : load_ranks(m, source, params, err);
    if (rc < 0) {
        weir_gpu_model_unload(m);
        return rc;
    }
    fill_info(m, source);
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
    weir_gpu_group_close(&m->group);
    for (uint32_t i = 0; i < m->n_ranks; i++) {
        weir__gpu_rank_close(m->ranks[i]);
        free(m->echoes[i]);
    }
    free(m);
}

const weir_model_info *weir_gpu_model_info(const struct weir_gpu_model *m)
{
    return &m->info;
}

/* Of the ranks behind the first. */
static int step_rank(void *arg, uint32_t rank)
{
    struct weir_gpu_model *m = arg;
    int rc = weir__gpu_rank_begin(m->ranks[rank], m->batch, m->echoes[rank]);
    return rc < 0 ? rc : weir__gpu_rank_end(m->ranks[rank]);
}

int weir_gpu_model_begin(struct weir_gpu_model *m, const weir_step_batch *batch,
                         weir_step_result *results)
{
    if (m->n_ranks == 1) {
        return weir__gpu_rank_begin(m->ranks[0], batch, results);
    }
    m->batch = batch;
    weir_gpu_group_begin(&m->group, step_rank, m);
    m->begin_rc = weir__gpu_rank_begin(m->ranks[0], batch, results);
    if (m->begin_rc < 0) {
        weir_gpu_group_fail(&m->group, 0);
    }
    return 0; /* the others are at work: end() tells */
}

int weir_gpu_model_end(struct weir_gpu_model *m)
{
    if (m->n_ranks == 1) {
        return weir__gpu_rank_end(m->ranks[0]);
    }
    return weir_gpu_group_end(&m->group,
                              m->begin_rc < 0 ? m->begin_rc : weir__gpu_rank_end(m->ranks[0]));
}

int weir_gpu_model_step(struct weir_gpu_model *m, const weir_step_batch *batch,
                        weir_step_result *results)
{
    int rc = weir_gpu_model_begin(m, batch, results);
    return rc < 0 ? rc : weir_gpu_model_end(m);
}

void weir_gpu_model_interrupt(struct weir_gpu_model *m)
{
    atomic_store_explicit(&m->ranks[0]->interrupted, true, memory_order_relaxed);
}

const char *weir_gpu_model_failure(const struct weir_gpu_model *m)
{
    int failed = m->n_ranks > 1 ? atomic_load(&m->group.failed_rank) : 0;
    return m->ranks[failed < 0 ? 0 : failed]->failure;
}

/* What is told of several devices: shares and temperatures of the one that is worst, else sums. */
static double join_figures(enum weir_gpu_figure figure, double a, double b)
{
    switch (figure) {
    case WEIR_GPU_UTILIZATION: return a < b ? a : b;
    case WEIR_GPU_TEMPERATURE:
    case WEIR_GPU_THROTTLED:
    case WEIR_GPU_LAST_ERROR_EVENT: return a > b ? a : b;
    default: return a + b;
    }
}

static void give_health(const struct weir_gpu_model *m,
                        void (*each)(void *arg, const char *name, double value), void *arg)
{
    struct weir_gpu_health all = {0};
    for (uint32_t i = 0; i < m->n_ranks; i++) {
        struct weir_gpu_health one = {0};
        weir__gpu_rank_health(m->ranks[i], &one);
        for (int k = 0; k < WEIR_GPU_FIGURE__COUNT; k++) {
            if (one.known >> k & 1) {
                bool is_first = (all.known >> k & 1) == 0;
                weir_gpu_health_set(
                    &all, (enum weir_gpu_figure)k,
                    is_first ? one.values[k]
                             : join_figures((enum weir_gpu_figure)k, all.values[k], one.values[k]));
            }
        }
    }
    for (int k = 0; k < WEIR_GPU_FIGURE__COUNT; k++) {
        if (all.known >> k & 1) {
            each(arg, weir_gpu_figure_names[k], all.values[k]);
        }
    }
}

void weir_gpu_model_stats(struct weir_gpu_model *m,
                          void (*each)(void *arg, const char *name, double value), void *arg)
{
    const struct weir_gpu_counters *c = &m->ranks[0]->counters; /* all take the same steps */
    each(arg, "steps", (double)c->n_steps);
    each(arg, "tokens", (double)c->n_tokens);
    each(arg, "gpu_step_seconds", (double)c->step_us * 1e-6);
    each(arg, "gpu_busy_seconds", (double)c->busy_us * 1e-6);
    each(arg, "gpu_gap_seconds", (double)c->gap_us * 1e-6);
    each(arg, "gpu_decode_rows", (double)c->decode_rows);
    each(arg, "gpu_decode_places", (double)c->decode_places);
    each(arg, "gpu_graph_steps", (double)c->graph_steps);
    each(arg, "gpu_eager_steps", (double)c->eager_steps);
    give_health(m, each, arg);
}

int weir_gpu_model_logits(struct weir_gpu_model *m, uint32_t i, float *out)
{
    return weir__gpu_rank_logits(m->ranks[0], i, out);
}
