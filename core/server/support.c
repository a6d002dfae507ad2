/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

static void check_targets(const struct weir_config_model *model, struct weir_findings *findings)
{
    for (size_t i = 0; i < model->n_targets; i++) {
        const struct weir_config_target *t = &model->targets[i];
        if (!t->is_engine) {
            weir_doc_complain(findings, t->node, NULL,
                              "upstream targets need a stream backend named \"%s\", and none is "
                              "installed; use an engine",
                              t->upstream.backend);
        }
    }
}

void weir_support_check(const struct weir_config *config, struct weir_findings *findings)
{
    const struct weir_doc_node *tls = weir_doc_find(weir_doc_root(config->doc), "server.tls");
    if (tls) {
        weir_doc_complain_key(findings, tls, NULL,
                              "this build cannot serve TLS; put a TLS proxy in front and leave the "
                              "key out");
    }
    for (size_t i = 0; i < config->n_models; i++) {
        check_targets(&config->models[i], findings);
    }
}
