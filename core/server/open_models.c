/* SPDX-License-Identifier: Apache-2.0 */
#include "open_models.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/request/admission.h"
#include "core/request/observe.h"
#include "core/request/shedding.h"
#include "core/server/revision.h"
#include "core/server/server.h"

enum { MAX_FLOWS = 16384 };

static int open_target(struct weir_server *s, struct weir_model *model,
                       const struct weir_config_model *mc, size_t index, struct weir_error *err)
{
    const struct weir_config_target *tc = &mc->targets[index];
    char name[200];
    (void)snprintf(name, sizeof(name), "%s/%zu", mc->name, index);
    struct weir_target_config config = {0};
    int r = s->options->open_engine(s->options->engine_arg, s->config, mc, tc, s->plugins, &config,
                                    err);
    if (r < 0) {
        return r;
    }
    config.name = name;
    config.weight = tc->weight;
    config.max_flows = MAX_FLOWS;
    config.inboxes = s->inboxes;
    config.n_inboxes = s->n_workers;
    return weir_model_add_target(model, &config, err);
}

/* What a person can mend in the file gets its place there; the rest is an error as it stands. */
static int blame_target(const struct weir_config_target *target, struct weir_findings *findings,
                        struct weir_error *err)
{
    if (err->code != WEIR_E_IO && err->code != WEIR_E_NOMEM) {
        weir_doc_complain(findings, target->node, NULL, "%s", err->message);
        return weir_error_set(err, WEIR_E_ARG, "models: the configuration is wrong");
    }
    return err->code;
}

/* Models stand in the order of the configuration, which has checked the names. */
static int join_fallbacks(struct weir_server *s, struct weir_error *err)
{
    for (size_t i = 0; i < s->config->n_models; i++) {
        const struct weir_config_model *mc = &s->config->models[i];
        struct weir_model *list[WEIR_MODEL_MAX_FALLBACKS];
        uint32_t n = 0;
        for (size_t k = 0; k < mc->n_fallback && n < WEIR_MODEL_MAX_FALLBACKS; k++) {
            list[n++] = s->models.list[mc->fallback[k] - s->config->models];
        }
        (void)weir_model_set_fallbacks(s->models.list[i], list, n);
    }
    return weir_shedding_create(&s->models, s->metrics, &s->shedding, err);
}

int weir_server_open_models(struct weir_server *s, struct weir_findings *findings,
                            struct weir_error *err)
{
    s->models.list = calloc(s->config->n_models + 1, sizeof(struct weir_model *));
    if (!s->models.list) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    for (size_t i = 0; i < s->config->n_models; i++) {
        const struct weir_config_model *mc = &s->config->models[i];
        struct weir_model_config config = {
            .name = mc->name,
            .class_rank = (uint32_t)mc->service_class,
            .queue_limit = mc->queue_size,
            .queue_timeout_ms = mc->queue_timeout_ms,
            .revision = weir_model_config_revision(s->config, mc),
            .called = weir_admission_called,
        };
        struct weir_model *model = NULL;
        int r = weir_model_create(&config, &model);
        if (r < 0) {
            return weir_error_set(err, r, "models.%s: %s", mc->name, weir_error_name(r));
        }
        s->models.list[s->models.n++] = model;
        for (size_t k = 0; k < mc->n_targets; k++) {
            r = open_target(s, model, mc, k, err);
            if (r < 0) {
                return blame_target(&mc->targets[k], findings, err);
            }
        }
    }
    weir_observer_set_models(s->observer, &s->models);
    return join_fallbacks(s, err);
}
