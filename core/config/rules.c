/* SPDX-License-Identifier: Apache-2.0 */
#include "rules.h"

#include <stdlib.h>

#include "core/config/units.h"

enum demand_kind {
    IS_THERE,
    IS_TRUE,
    AT_MOST,
    AT_LEAST,
    SHORTER, /* a duration, limit in seconds */
};

/* One required key of an enterprise block. */
struct demand {
    const char *rule;
    const char *path;
    enum demand_kind kind;
    double limit;
};

static const struct demand demands[] = {
    {"1.1", "performance.latency_slas.interactive_ui.p95_max_ms", AT_MOST, 1500},
    {"1.1", "performance.latency_slas.interactive_ui.p99_max_ms", AT_MOST, 3000},
    {"1.1", "performance.latency_slas.interactive_ui.ttft_max_ms", AT_MOST, 200},
    {"1.2", "performance.latency_slas.critical_api.p95_max_ms", AT_MOST, 1000},
    {"1.2", "performance.latency_slas.critical_api.p99_max_ms", AT_MOST, 2000},
    {"1.2", "performance.latency_slas.critical_api.ttft_max_ms", AT_MOST, 150},
    {"1.3", "performance.latency_slas.batch.p95_max_ms", AT_MOST, 5000},
    {"1.3", "performance.latency_slas.batch.p99_max_ms", AT_MOST, 10000},
    {"1.3", "performance.latency_slas.batch.async_enabled", IS_TRUE, 0},
    {"1.7", "availability.tier", IS_THERE, 0},
    {"2.2", "scaling.horizontal.enabled", IS_TRUE, 0},
    {"2.2", "scaling.horizontal.min_replicas", AT_LEAST, 2},
    {"2.2", "scaling.horizontal.max_replicas", AT_LEAST, 2},
    {"2.2", "scaling.horizontal.metrics", IS_THERE, 0},
    {"3.1", "resources.limits.cpu", IS_THERE, 0},
    {"3.1", "resources.limits.memory", IS_THERE, 0},
    {"3.2", "resources.requests.cpu", IS_THERE, 0},
    {"3.2", "resources.requests.memory", IS_THERE, 0},
    {"4.1", "load_balancing.algorithm", IS_THERE, 0},
    {"4.2", "load_balancing.health_checks.liveness.enabled", IS_TRUE, 0},
    {"4.2", "load_balancing.health_checks.liveness.timeout", SHORTER, 5},
    {"4.2", "load_balancing.health_checks.readiness.enabled", IS_TRUE, 0},
    {"4.2", "load_balancing.health_checks.readiness.timeout", SHORTER, 5},
    {"4.2", "load_balancing.health_checks.startup.enabled", IS_TRUE, 0},
    {"4.2", "load_balancing.health_checks.startup.timeout", SHORTER, 5},
    {"4.3", "load_balancing.circuit_breaker.enabled", IS_TRUE, 0},
    {"4.3", "load_balancing.circuit_breaker.failure_threshold", AT_LEAST, 1},
    {"5.1", "caching.response.enabled", IS_TRUE, 0},
    {"5.1", "caching.response.ttl", AT_LEAST, 1},
    {"5.1", "caching.response.max_size", AT_LEAST, 1},
    {"5.2", "caching.model_output.enabled", IS_TRUE, 0},
    {"5.2", "caching.model_output.semantic_cache", IS_THERE, 0},
    {"5.4", "caching.storage", IS_THERE, 0},
};

struct judge {
    const struct weir_doc_node *root;
    struct weir_findings *findings;
    /* The gap reported last, so that a whole missing part is reported once. */
    const struct weir_doc_node *gap_parent;
    weir_str gap_key;
};

/* Finds the value, or reports the first missing key on its way (once) and returns NULL. */
static const struct weir_doc_node *require(struct judge *j, const char *rule, const char *path)
{
    const struct weir_doc_node *at = j->root;
    while (*path) {
        weir_str key = {path, strcspn(path, ".")};
        const struct weir_doc_node *next = weir_doc_get(at, key);
        if (!next) {
            bool told = j->gap_parent == at && weir_str_eq(j->gap_key, key);
            if (at != j->root && !told) {
                weir_doc_complain(j->findings, at, rule, "lacks the required key %.*s", (int)key.n,
                                  key.p);
            }
            j->gap_parent = at;
            j->gap_key = key;
            return NULL;
        }
        at = next;
        path += key.n;
        path += *path == '.';
    }
    return at;
}

static void judge_demand(struct judge *j, const struct demand *d)
{
    const struct weir_doc_node *node = require(j, d->rule, d->path);
    if (!node) {
        return;
    }
    switch (d->kind) {
    case IS_THERE: break;
    case IS_TRUE:
        if (!node->boolean) {
            weir_doc_complain(j->findings, node, d->rule, "must be true");
        }
        break;
    case AT_MOST:
        if (node->number > d->limit) {
            weir_doc_complain(j->findings, node, d->rule, "must be at most %g, not %s", d->limit,
                              node->text.p);
        }
        break;
    case AT_LEAST:
        if (node->number < d->limit) {
            weir_doc_complain(j->findings, node, d->rule, "must be at least %g, not %s", d->limit,
                              node->text.p);
        }
        break;
    case SHORTER: {
        uint64_t us = 0;
        if (weir_duration_parse(node->text, &us) < 0 || (double)us >= d->limit * 1e6) {
            weir_doc_complain(j->findings, node, d->rule, "must be shorter than %gs, not %s",
                              d->limit, node->text.p);
        }
        break;
    }
    }
}

/* A percentile that lies below a smaller one could never be the one that binds. */
static void judge_order_of_latencies(struct judge *j)
{
    static const struct {
        const char *rule, *name;
    } classes[] = {{"1.1", "interactive_ui"}, {"1.2", "critical_api"}, {"1.3", "batch"}};
    const struct weir_doc_node *slas = weir_doc_find(j->root, "performance.latency_slas");
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        const struct weir_doc_node *sla = weir_doc_get(slas, weir_str_from(classes[i].name));
        const struct weir_doc_node *p95 = weir_doc_find(sla, "p95_max_ms");
        const struct weir_doc_node *p99 = weir_doc_find(sla, "p99_max_ms");
        const struct weir_doc_node *ttft = weir_doc_find(sla, "ttft_max_ms");
        if (p95 && p99 && p99->number < p95->number) {
            weir_doc_complain(j->findings, p99, classes[i].rule,
                              "must be at least p95_max_ms (%s), not %s", p95->text.p, p99->text.p);
        }
        if (p95 && ttft && ttft->number > p95->number) {
            weir_doc_complain(j->findings, ttft, classes[i].rule,
                              "must be at most p95_max_ms (%s), not %s", p95->text.p, ttft->text.p);
        }
    }
}

struct tier {
    const char *name, *rule;
    double uptime, rto_hours, rpo_hours;
};

static const struct tier tiers[] = {
    {"tier1", "1.7", 0.9999, 4, 1},
    {"tier2", "1.8", 0.999, 8, 4},
    {"tier3", "1.9", 0.995, 24, 12},
};

static void judge_availability(struct judge *j)
{
    const struct weir_doc_node *named = weir_doc_find(j->root, "availability.tier");
    for (size_t i = 0; named && i < sizeof(tiers) / sizeof(tiers[0]); i++) {
        const struct tier *t = &tiers[i];
        if (!weir_str_is(named->text, t->name)) {
            continue;
        }
        const struct demand needs[] = {
            {t->rule, "availability.uptime_target", AT_LEAST, t->uptime},
            {t->rule, "availability.rto_hours", AT_MOST, t->rto_hours},
            {t->rule, "availability.rpo_hours", AT_MOST, t->rpo_hours},
        };
        for (size_t k = 0; k < sizeof(needs) / sizeof(needs[0]); k++) {
            judge_demand(j, &needs[k]);
        }
    }
}

static void judge_scaling(struct judge *j)
{
    static const char *const wanted[] = {"cpu_utilization", "memory_utilization", "request_rate"};
    const struct weir_doc_node *horizontal = weir_doc_find(j->root, "scaling.horizontal");
    const struct weir_doc_node *least = weir_doc_find(horizontal, "min_replicas");
    const struct weir_doc_node *most = weir_doc_find(horizontal, "max_replicas");
    if (least && most && most->number < least->number) {
        weir_doc_complain(j->findings, most, "2.2", "must be at least min_replicas (%s), not %s",
                          least->text.p, most->text.p);
    }
    const struct weir_doc_node *metrics = weir_doc_find(horizontal, "metrics");
    for (size_t i = 0; metrics && i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        const struct weir_doc_node *it = metrics->first;
        while (it && !weir_str_is(it->first->key, wanted[i])) {
            it = it->next;
        }
        if (!it) {
            weir_doc_complain(j->findings, metrics, "2.2", "lacks a threshold for %s", wanted[i]);
        }
    }
    const struct weir_doc_node *driver = weir_doc_find(j->root, "store.driver");
    const struct weir_doc_node *enabled = weir_doc_find(horizontal, "enabled");
    if (driver && enabled && enabled->boolean && weir_str_is(driver->text, "memory")) {
        weir_doc_complain(j->findings, driver, "2.1",
                          "must be a store that replicas share, such as redis, because "
                          "scaling.horizontal is enabled");
    }
}

static double cores_of(const struct weir_doc_node *node)
{
    if (node->type != WEIR_DOC_STRING) {
        return node->number;
    }
    double n = strtod(node->text.p, NULL);
    return node->text.p[node->text.n - 1] == 'm' ? n / 1000 : n;
}

static double bytes_of(const struct weir_doc_node *node)
{
    uint64_t n = 0;
    if (node->type == WEIR_DOC_STRING && weir_bytes_parse(node->text, &n) == 0) {
        return (double)n;
    }
    return node->number;
}

static bool names_a_gpu(const struct weir_doc_node *models)
{
    for (const struct weir_doc_node *m = models ? models->first : NULL; m; m = m->next) {
        const struct weir_doc_node *targets = weir_doc_find(m, "targets");
        for (const struct weir_doc_node *t = targets ? targets->first : NULL; t; t = t->next) {
            const struct weir_doc_node *backend = weir_doc_find(t, "engine.backend");
            if (backend &&
                (weir_str_is(backend->text, "cuda") || weir_str_is(backend->text, "hip"))) {
                return true;
            }
        }
    }
    return false;
}

static void judge_resources(struct judge *j)
{
    static const struct {
        const char *request, *limit;
        double (*amount)(const struct weir_doc_node *node);
    } pairs[] = {
        {"resources.requests.cpu", "resources.limits.cpu", cores_of},
        {"resources.requests.memory", "resources.limits.memory", bytes_of},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        const struct weir_doc_node *request = weir_doc_find(j->root, pairs[i].request);
        const struct weir_doc_node *limit = weir_doc_find(j->root, pairs[i].limit);
        if (request && limit && pairs[i].amount(request) > pairs[i].amount(limit)) {
            weir_doc_complain(j->findings, request, "3.2", "must be at most the limit (%s), not %s",
                              limit->text.p, request->text.p);
        }
    }
    const struct weir_doc_node *limits = weir_doc_find(j->root, "resources.limits");
    if (limits && names_a_gpu(weir_doc_find(j->root, "models"))) {
        judge_demand(j, &(struct demand){"3.1", "resources.limits.gpu", AT_LEAST, 1});
    }
}

static void judge_cache_storage(struct judge *j)
{
    const struct weir_doc_node *storage = weir_doc_find(j->root, "caching.storage");
    if (storage && weir_str_is(storage->text, "memory")) {
        weir_doc_complain(j->findings, storage, "5.4",
                          "must be redis or an equal that replicas share, not memory");
    }
}

void weir_rules_judge(const struct weir_doc_node *root, struct weir_findings *findings)
{
    struct judge j = {.root = root, .findings = findings};
    for (size_t i = 0; i < sizeof(demands) / sizeof(demands[0]); i++) {
        judge_demand(&j, &demands[i]);
    }
    judge_order_of_latencies(&j);
    judge_availability(&j);
    judge_scaling(&j);
    judge_resources(&j);
    judge_cache_storage(&j);
}
