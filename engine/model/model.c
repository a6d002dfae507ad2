/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/model/model.h"

int weir_model_init(struct weir_model *model, const struct weir_gguf *gguf, struct weir_error *err)
{
    *model = (struct weir_model){.gguf = gguf};
    int rc = weir_hparams_read(gguf, &model->hparams, err);
    if (rc >= 0) {
        rc = weir_weights_read(gguf, &model->hparams, &model->weights, err);
    }
    if (rc >= 0) {
        rc = weir_graph_build(&model->hparams, &model->weights, &model->graph);
        if (rc < 0) {
            weir_error_set(err, rc, "out of memory for the model's graph");
        }
    }
    if (rc < 0) {
        weir_model_finish(model);
        return rc;
    }
    return 0;
}

void weir_model_finish(struct weir_model *model)
{
    weir_graph_finish(&model->graph);
    weir_weights_finish(&model->weights);
    *model = (struct weir_model){0};
}
