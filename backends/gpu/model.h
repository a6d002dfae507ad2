/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A loaded model on a GPU, or split over several, and the functions of weir.backend.step/1 on it.
 *
 * Ownership: load() gives a model that unload() ends. After load the model file is not mapped.
 * Threads and errors: as weir/backend_step.h says. After a step that failed as a whole only
 * unload() makes sense. */
#include "backends/gpu/backend.h"
#include "backends/gpu/options.h"
#include "engine/model/model.h"
#include "weir/backend_step.h"

struct weir_gpu_model;

/* From a file. */
WEIR_NODISCARD int weir_gpu_model_load(const struct weir_gpu_backend *backend,
                                       const weir_load_params *params,
                                       const struct weir_gpu_options *options,
                                       struct weir_gpu_model **ret_model, struct weir_error *err);
/* From a description that is in memory already; `source` is not needed afterwards. */
WEIR_NODISCARD int weir_gpu_model_create(const struct weir_gpu_backend *backend,
                                         const struct weir_model *source,
                                         const weir_load_params *params,
                                         const struct weir_gpu_options *options,
                                         struct weir_gpu_model **ret_model, struct weir_error *err);
void weir_gpu_model_unload(struct weir_gpu_model *m); /* NULL ok */
const weir_model_info *weir_gpu_model_info(const struct weir_gpu_model *m);
WEIR_NODISCARD int weir_gpu_model_begin(struct weir_gpu_model *m, const weir_step_batch *batch,
                                        weir_step_result *results);
WEIR_NODISCARD int weir_gpu_model_end(struct weir_gpu_model *m);
WEIR_NODISCARD int weir_gpu_model_step(struct weir_gpu_model *m, const weir_step_batch *batch,
                                       weir_step_result *results);
/* Why the last step failed; names no device. */
const char *weir_gpu_model_failure(const struct weir_gpu_model *m);
void weir_gpu_model_interrupt(struct weir_gpu_model *m);
void weir_gpu_model_stats(struct weir_gpu_model *m,
                          void (*each)(void *arg, const char *name, double value), void *arg);

/* Logits[n_vocab] of the i-th sampled part of the last step, before anything that sampling asks
 * for. For tests and checks. */
WEIR_NODISCARD int weir_gpu_model_logits(struct weir_gpu_model *m, uint32_t i, float *out);
