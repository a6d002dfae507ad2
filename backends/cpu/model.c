/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cpu/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <yyjson.h>

#include "backends/cpu/find_outliers.h"
#include "base/clock.h"
#include "engine/gguf/gguf.h"

enum {
    DEFAULT_SEQUENCES = 16,
    DEFAULT_STEP_TOKENS = 512,
    SEQUENCES_MAX = 4096,
    STEP_TOKENS_MAX = 1 << 16,
    THREADS_MAX = 256,
    HEAD_DIM_UNIT = 16 /* lanes of the widest kernels */
};

/* The backend's own options. */
struct options {
    char isa[16]; /* force an instruction set; empty: the best */
    enum weir_cpu_kv_type kv_type;
};

static bool read_isa(yyjson_val *value, struct options *o)
{
    bool fits = yyjson_is_str(value) && yyjson_get_len(value) < sizeof(o->isa);
    if (fits) {
        snprintf(o->isa, sizeof(o->isa), "%s", yyjson_get_str(value));
    }
    return fits;
}

static bool read_kv_type(yyjson_val *value, struct options *o)
{
    bool is_f16 = yyjson_equals_str(value, "f16");
    o->kv_type = is_f16 ? WEIR_CPU_KV_F16 : WEIR_CPU_KV_I8;
    return is_f16 || yyjson_equals_str(value, "int8");
}

static int read_options(weir_str json, struct options *o, struct weir_error *err)
{
    *o = (struct options){.kv_type = WEIR_CPU_KV_F16};
    if (json.n == 0) {
        return 0;
    }
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    int rc = 0;
    if (!yyjson_is_obj(root)) {
        rc = weir_error_set(err, WEIR_E_ARG, "the backend's options are no JSON object");
    }
    yyjson_val *key = NULL;
    yyjson_obj_iter it = yyjson_obj_iter_with(root);
    while (rc == 0 && (key = yyjson_obj_iter_next(&it))) {
        yyjson_val *value = yyjson_obj_iter_get_val(key);
        bool is_known = yyjson_equals_str(key, "isa")       ? read_isa(value, o)
                        : yyjson_equals_str(key, "kv_type") ? read_kv_type(value, o)
                                                            : false;
        if (!is_known) {
            rc = weir_error_set(err, WEIR_E_ARG,
                                "option \"%s\" is unknown or has a wrong value; known are isa (a "
                                "string) and kv_type (\"f16\" or \"int8\")",
                                yyjson_get_str(key));
        }
    }
    yyjson_doc_free(doc);
    return rc;
}

static uint32_t or_default(uint32_t value, uint32_t fallback, uint32_t max)
{
    value = value ? value : fallback;
    return value < max ? value : max;
}

static uint64_t physical_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    long page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : (uint64_t)1 << 32;
}

static int check_shape(const struct weir_hparams *hp, struct weir_error *err)
{
    if (hp->head_dim % HEAD_DIM_UNIT != 0) {
        return weir_error_set(err, WEIR_E_UNSUPPORTED,
                              "heads of %u dimensions: the CPU backend needs a multiple of %d",
                              hp->head_dim, HEAD_DIM_UNIT);
    }
    if (hp->n_head / hp->n_head_kv > WEIR_CPU_ATTEND_ROWS_MAX) {
        return weir_error_set(err, WEIR_E_UNSUPPORTED,
                              "%u query heads per KV head: the CPU backend takes up to %d",
                              hp->n_head / hp->n_head_kv, WEIR_CPU_ATTEND_ROWS_MAX);
    }
    return 0;
}

/* Pages for the wanted sequences at full length, within the budget or a quarter of the memory, but
 * never fewer than one sequence needs. */
static int choose_pages(const weir_load_params *params, uint64_t page_bytes, uint32_t n_ctx,
                        uint32_t max_sequences, uint32_t *ret_n_pages, struct weir_error *err)
{
    uint64_t per_sequence = (n_ctx + WEIR_PAGE_TOKENS - 1) / WEIR_PAGE_TOKENS;
    uint64_t n_pages = per_sequence * max_sequences;
    uint64_t budget = params->kv_bytes ? params->kv_bytes : physical_bytes() / 4;
    if (n_pages > budget / page_bytes) {
        n_pages = budget / page_bytes;
    }
    if (n_pages < per_sequence) {
        return weir_error_set(
            err, WEIR_E_NOMEM,
            "one sequence of %u tokens needs %llu MB of KV, the budget is %llu MB: raise kv_memory "
            "or lower context, or take kv_type int8",
            n_ctx, (unsigned long long)(per_sequence * page_bytes >> 20),
            (unsigned long long)(budget >> 20));
    }
    *ret_n_pages = n_pages < UINT32_MAX ? (uint32_t)n_pages : UINT32_MAX;
    return 0;
}

static void fill_info(struct weir_cpu_model *m, const struct weir_model *model, uint32_t n_ctx,
                      const struct weir_cpu_limits *limits)
{
    const struct weir_hparams *hp = &model->hparams;
    m->info = (weir_model_info){
        .struct_size = sizeof(m->info),
        .caps = WEIR_MODEL_CAN_LOGPROBS | WEIR_MODEL_CAN_MASK,
        .n_vocab = hp->n_vocab,
        .n_ctx = n_ctx,
        .n_embd = hp->n_embd,
        .n_pages = m->kv.n_pages,
        .page_tokens = WEIR_PAGE_TOKENS,
        .max_sequences = limits->max_parts,
        .max_step_tokens = limits->max_tokens,
        .n_threads = limits->n_threads,
        .weight_bytes = m->plan.storage_bytes + m->plan.floats.used_bytes,
        .kv_bytes = m->kv.size_bytes,
        .scratch_bytes = m->exec.scratch_bytes + m->prefill_exec.scratch_bytes,
        .kv_bytes_per_token = m->kv.page_bytes / WEIR_PAGE_TOKENS,
        .step_bytes = m->plan.step_bytes,
        .max_prefill_tokens = m->prefill_exec.batch.limits.max_tokens,
    };
    const struct weir_gguf_tensor *down = model->weights.layers[0].down;
    snprintf(m->info.arch, sizeof(m->info.arch), "%s", hp->arch);
    snprintf(m->info.quant, sizeof(m->info.quant), "%s", weir_tensor_type_info(down->type)->name);
    snprintf(m->info.device, sizeof(m->info.device), "cpu %s, %u threads", m->plan.isa->name,
             limits->n_threads);
}

static int init_execs(struct weir_cpu_model *m, const struct weir_cpu_ops *ops,
                      const struct weir_cpu_limits *limits, struct weir_error *err)
{
    struct weir_cpu_limits chunk = *limits;
    chunk.max_parts = 1;
    int rc = weir_cpu_exec_init(&m->exec, &m->plan, ops, m->pool, &m->kv, limits);
    if (rc >= 0) {
        rc = weir_cpu_exec_init(&m->prefill_exec, &m->plan, ops, m->pool, &m->kv, &chunk);
    }
    return rc < 0 ? weir_error_set(err, rc, "no memory for a step of %u tokens", limits->max_tokens)
                  : rc;
}

static int load_file(struct weir_cpu_model *m, const struct weir_gguf *gguf,
                     const weir_load_params *params, const struct options *options,
                     struct weir_error *err)
{
    const char *name = options->isa[0] ? options->isa : NULL;
    const struct weir_cpu_isa *isa = weir_cpu_isa_find(name);
    const struct weir_cpu_ops *ops = weir_cpu_ops_find(name);
    if (!isa || !ops) {
        return weir_error_set(err, WEIR_E_UNSUPPORTED, "this machine has no instruction set %s",
                              options->isa);
    }
    struct weir_model model;
    int rc = weir_model_init(&model, gguf, err);
    if (rc < 0) {
        return rc;
    }
    const struct weir_hparams *hp = &model.hparams;
    struct weir_cpu_limits limits = {
        .max_parts = or_default(params->max_sequences, DEFAULT_SEQUENCES, SEQUENCES_MAX),
        .max_tokens = or_default(params->max_step_tokens, DEFAULT_STEP_TOKENS, STEP_TOKENS_MAX),
        .n_vocab = hp->n_vocab,
        .n_ctx = or_default(params->n_ctx, hp->n_ctx_train, hp->n_ctx_train),
        .n_threads = weir_cpu_pool_size(m->pool),
    };
    rc = check_shape(hp, err);
    if (rc >= 0) {
        rc = choose_pages(params, weir_cpu_kv_page_bytes(hp, options->kv_type), limits.n_ctx,
                          limits.max_parts, &limits.n_pages, err);
    }
    if (rc >= 0) {
        rc = weir_cpu_plan_build(&m->plan, &model, isa, m->pool, params->progress,
                                 params->progress_arg, err);
    }
    if (rc >= 0) {
        rc = weir_cpu_kv_init(&m->kv, hp, options->kv_type, limits.n_pages);
        rc = rc < 0 ? weir_error_set(err, rc, "no memory for the KV pages") : rc;
    }
    if (rc >= 0) {
        rc = init_execs(m, ops, &limits, err);
    }
    if (rc >= 0) {
        rc = weir_cpu_find_outliers(&m->plan, &m->exec);
        rc = rc < 0 ? weir_error_set(err, rc, "can not find the outlier columns: %s",
                                     weir_error_name(rc))
                    : rc;
    }
    if (rc >= 0) {
        fill_info(m, &model, limits.n_ctx, &limits);
    }
    weir_model_finish(&model);
    return rc;
}

int weir_cpu_model_load(const weir_host *host, const weir_load_params *params,
                        struct weir_cpu_model **ret_model, struct weir_error *err)
{
    struct options options;
    int rc = read_options(params->options_json, &options, err);
    if (rc < 0) {
        return rc;
    }
    char path[4096];
    if (params->file.n == 0 || params->file.n >= sizeof(path)) {
        return weir_error_set(err, WEIR_E_ARG, "the model's path is empty or too long");
    }
    snprintf(path, sizeof(path), "%.*s", (int)params->file.n, params->file.p);
    struct weir_gguf *gguf = NULL;
    rc = weir_gguf_open(path, &gguf, err);
    if (rc < 0) {
        return rc;
    }
    struct weir_cpu_model *m = aligned_alloc(_Alignof(struct weir_cpu_model), sizeof(*m));
    if (!m) {
        weir_gguf_destroy(gguf);
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    *m = (struct weir_cpu_model){.host = host};
    rc = weir_cpu_pool_create(or_default(params->n_threads, weir_cpu_count(), THREADS_MAX),
                              &m->pool);
    if (rc < 0) {
        weir_error_set(err, rc, "can not start the compute threads");
    } else {
        rc = load_file(m, gguf, params, &options, err);
    }
    weir_gguf_destroy(gguf);
    if (rc < 0) {
        weir_cpu_model_unload(m);
        return rc;
    }
    *ret_model = m;
    return 0;
}

void weir_cpu_model_unload(struct weir_cpu_model *model)
{
    if (!model) {
        return;
    }
    weir_cpu_pool_destroy(model->pool);
    weir_cpu_exec_finish(&model->exec);
    weir_cpu_exec_finish(&model->prefill_exec);
    weir_cpu_kv_finish(&model->kv);
    weir_cpu_plan_finish(&model->plan);
    free(model);
}

int weir_cpu_model_step(struct weir_cpu_model *model, const weir_step_batch *batch,
                        weir_step_result *results)
{
    uint64_t begin_us = weir_clock_mono_us();
    int rc = weir_cpu_batch_set(&model->exec.batch, batch, results);
    if (rc >= 0) {
        rc = weir_cpu_exec_run_whole(&model->exec);
    }
    if (rc >= 0) {
        model->n_steps++;
        model->n_tokens += model->exec.batch.n_tokens;
        model->step_us += weir_clock_mono_us() - begin_us;
    }
    return rc;
}

int weir_cpu_model_prefill_begin(struct weir_cpu_model *model, const weir_step_batch *batch,
                                 weir_step_result *results)
{
    if (model->has_prefill) {
        return WEIR_E_BUSY;
    }
    int rc = weir_cpu_batch_set(&model->prefill_exec.batch, batch, results);
    if (rc >= 0) {
        weir_cpu_exec_begin(&model->prefill_exec);
        model->has_prefill = true;
    }
    return rc;
}

int weir_cpu_model_prefill_run(struct weir_cpu_model *model, uint32_t us)
{
    if (!model->has_prefill) {
        return WEIR_E_ARG;
    }
    uint64_t begin_us = weir_clock_mono_us();
    int rc = weir_cpu_exec_run(&model->prefill_exec, begin_us + us);
    model->step_us += weir_clock_mono_us() - begin_us;
    if (rc != 0) {
        model->has_prefill = false;
        model->n_steps += rc > 0;
        model->n_tokens += rc > 0 ? model->prefill_exec.batch.n_tokens : 0;
    }
    return rc;
}

void weir_cpu_model_prefill_drop(struct weir_cpu_model *model)
{
    model->has_prefill = false;
}

void weir_cpu_model_stats(struct weir_cpu_model *model,
                          void (*each)(void *arg, const char *name, double value), void *arg)
{
    each(arg, "steps", (double)model->n_steps);
    each(arg, "tokens", (double)model->n_tokens);
    each(arg, "step_seconds", (double)model->step_us * 1e-6);
    each(arg, "weight_bytes", (double)model->info.weight_bytes);
    each(arg, "kv_bytes", (double)model->info.kv_bytes);
    each(arg, "scratch_bytes", (double)model->info.scratch_bytes);
}

const float *weir_cpu_model_logits(const struct weir_cpu_model *model, uint32_t i)
{
    return model->exec.rows[WEIR_CPU_ROWS_LOGITS] + (size_t)i * model->info.n_vocab;
}
