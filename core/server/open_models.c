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

/* "host:port" of an upstream's address; NULL for an engine. */
static const char *endpoint_of(const struct weir_config_target *tc, char *out, size_t n_bytes)
{
    const char *host = tc->is_engine ? NULL : strstr(tc->upstream.url, "://");
    if (!host) {
        return NULL;
    }
    host += 3;
    size_t n = strcspn(host, "/?#");
    const char *colon = memchr(host, ':', n);
    bool has_port = colon && n > 0 && host[n - 1] != ']';
    const char *port = strncmp(tc->upstream.url, "https", 5) == 0 ? ":443" : ":80";
    (void)snprintf(out, n_bytes, "%.*s%s", (int)n, host, has_port ? "" : port);
    return out;
}

static void fill_gateway(const struct weir_server *s, const struct weir_config_model *mc,
                         struct weir_model_config *out)
{
    const struct weir_config_gateway *g = &s->gateway;
    out->balance = (struct weir_balance_config){.load_bound = g->load_bound,
                                                .home_region = s->config->server.region};
    if (mc->algorithm) { /* the schema knows the names */
        (void)weir_balance_kind_parse(weir_str_from(mc->algorithm), &out->balance.kind);
    }
    out->health = (struct weir_health_config){.consecutive_errors = g->ejection.consecutive_errors,
                                              .success_percent = g->ejection.success_percent,
                                              .min_requests = g->ejection.min_requests,
                                              .window_ms = g->ejection.window_ms,
                                              .eject_ms = g->ejection.eject_ms,
                                              .max_eject_ms = g->ejection.max_eject_ms,
                                              .max_ejected_percent = g->ejection.max_percent,
                                              .slow_start_ms = g->slow_start_ms};
    out->regions = (struct weir_regions_config){
        .min_healthy_percent = g->regions.min_healthy_percent,
        .leave_after_ms = g->regions.leave_after_ms,
        .return_after_ms = g->regions.return_after_ms,
    };
    out->sampling = mc->sampling;
    out->hedge_after_ms = mc->hedge_after_ms;
    out->retry_budget_percent = g->retries.budget_percent;
    out->affinity = (struct weir_affinity){
        .header = mc->affinity_header, .cookie = mc->affinity_cookie, .by_user = mc->affinity_user};
}

static struct weir_check check_of(const struct weir_config_check *c)
{
    return (struct weir_check){.enabled = c->enabled,
                               .path = c->path,
                               .interval_ms = c->interval_ms,
                               .timeout_ms = c->timeout_ms,
                               .n_failures = c->n_failures,
                               .n_successes = c->n_successes};
}

static struct weir_checks checks_of(const struct weir_config_health_checks *c)
{
    return (struct weir_checks){.startup = check_of(&c->startup),
                                .liveness = check_of(&c->liveness),
                                .readiness = check_of(&c->readiness)};
}

static int begin_checks(struct weir_server *s, struct weir_model *model, size_t index,
                        const struct weir_checks *checks, struct weir_error *err)
{
    if (s->n_checkers == WEIR_MAX_CHECKERS) {
        return weir_error_set(err, WEIR_E_TOOBIG, "more than %d targets have active checks",
                              WEIR_MAX_CHECKERS);
    }
    int r = weir_checker_create(model, (uint32_t)index, checks, &s->checkers[s->n_checkers]);
    s->n_checkers += r == 0;
    return r < 0 ? weir_error_set(err, r, "cannot check a target: %s", weir_error_name(r)) : 0;
}

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
    char endpoint[300];
    struct weir_target_terms terms = {
        .region = tc->region,
        .endpoint = endpoint_of(tc, endpoint, sizeof(endpoint)),
        /* An upstream's backend keeps to these itself: it tells an answer that is slow from one
         * that comes as a whole. */
        .first_token_ms = tc->is_engine ? tc->timeouts.first_token_ms : 0,
        .between_tokens_ms = tc->is_engine ? tc->timeouts.between_tokens_ms : 0,
        .total_ms = tc->timeouts.total_ms,
        .is_upstream = !tc->is_engine,
    };
    struct weir_checks checks = checks_of(&tc->checks);
    terms.is_checked = WEIR_HAS_FN(config.backend, check) && weir_checks_are_enabled(&checks);
    r = weir_model_add_target(model, &config, &terms, err);
    return r < 0 || !terms.is_checked ? r : begin_checks(s, model, index, &checks, err);
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
    s->gateway = s->config->gateway;
    s->first_config = weir_config_ref(s->config);
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
        fill_gateway(s, mc, &config);
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
    weir_targets_open(s->targets, &s->models);
    return join_fallbacks(s, err);
}
