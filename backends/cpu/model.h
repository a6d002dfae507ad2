/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A loaded model on the CPU: packed weights, KV pool, threads and step scratch; and the functions
 * of weir.backend.step/1 on it.
 *
 * Ownership: load() gives a model that unload() ends. After load the model file is not mapped.
 * Threads and errors: as weir/backend_step.h says. */
#include "backends/cpu/exec.h"
#include "weir/backend_step.h"

struct weir_cpu_model {
    const weir_host *host; /* may be NULL: nothing of it is used in a step */
    struct weir_cpu_pool *pool;
    struct weir_cpu_plan plan;
    struct weir_cpu_kv kv;
    struct weir_cpu_exec exec;
    struct weir_cpu_exec prefill_exec; /* of the chunk in pieces */
    bool has_prefill;                  /* one is under way */
    weir_model_info info;
    /* For stats(), written by the model's thread, read by any; each is a figure of its own. */
    _Atomic uint64_t n_steps, n_tokens, step_us;
};

WEIR_NODISCARD int weir_cpu_model_load(const weir_host *host, const weir_load_params *params,
                                       struct weir_cpu_model **ret_model, struct weir_error *err);
void weir_cpu_model_unload(struct weir_cpu_model *model); /* NULL ok */
WEIR_NODISCARD int weir_cpu_model_step(struct weir_cpu_model *model, const weir_step_batch *batch,
                                       weir_step_result *results);
WEIR_NODISCARD int weir_cpu_model_prefill_begin(struct weir_cpu_model *model,
                                                const weir_step_batch *batch,
                                                weir_step_result *results);
WEIR_NODISCARD int weir_cpu_model_prefill_run(struct weir_cpu_model *model, uint32_t us);
void weir_cpu_model_prefill_drop(struct weir_cpu_model *model);
void weir_cpu_model_stats(struct weir_cpu_model *model,
                          void (*each)(void *arg, const char *name, double value), void *arg);

/* Logits[n_vocab] of the i-th sampled part of the last step, after what sampling changed in them
 * (nothing for greedy parts without bias, penalties and mask). For tests. */
const float *weir_cpu_model_logits(const struct weir_cpu_model *model, uint32_t i);
