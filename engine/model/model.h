/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A decoder read from a GGUF file: hyper-parameters, weights by role, and the graph of its forward
 * pass. What a backend needs to know of a model, without any device in it.
 *
 * Ownership: the model borrows the GGUF file, which must outlive it and its graph.
 * Threads: read-only after init. Errors: as hparams.h and weights.h. */
#include "engine/model/graph.h"
#include "engine/model/hparams.h"
#include "engine/model/weights.h"

struct weir_model {
    const struct weir_gguf *gguf;
    struct weir_hparams hparams;
    struct weir_weights weights;
    struct weir_graph graph;
};

WEIR_NODISCARD int weir_model_init(struct weir_model *model, const struct weir_gguf *gguf,
                                   struct weir_error *err);
void weir_model_finish(struct weir_model *model); /* copes with a zeroed or half-built model */
