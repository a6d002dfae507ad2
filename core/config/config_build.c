/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "core/config/config_internal.h"
#include "core/config/units.h"

/* The JSON was checked by the schema and has all defaults, so that lookups cannot fail here except
 * for keys without default. */

struct builder {
    struct weir_config *config;
    bool out_of_memory;
};

static void *take(struct builder *b, size_t n, size_t size)
{
    void *p = weir_arena_array(&b->config->arena, n, size);
    b->out_of_memory = b->out_of_memory || !p;
    return p;
}

static yyjson_val *get(yyjson_val *object, const char *key)
{
    return yyjson_obj_get(object, key);
}

/* NULL when left out. The JSON lives as long as the configuration. */
static const char *text_of(yyjson_val *object, const char *key)
{
    return yyjson_get_str(get(object, key));
}

/* "auto" is 0; the schema bounds the number below 2^32. */
static uint32_t number_of(yyjson_val *object, const char *key)
{
    yyjson_val *value = get(object, key);
    return yyjson_is_int(value) ? (uint32_t)yyjson_get_uint(value) : 0;
}

/* Rounded up to whole milliseconds; what is longer than 49 days is 49 days. */
static uint32_t ms_of(yyjson_val *object, const char *key)
{
    uint64_t us = 0;
    (void)weir_duration_parse(weir_str_from(text_of(object, key)), &us);
    uint64_t ms = us / 1000 + (us % 1000 != 0);
    return ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

/* "auto" is 0. */
static uint64_t bytes_of(yyjson_val *object, const char *key)
{
    yyjson_val *value = get(object, key);
    if (yyjson_is_int(value)) {
        return yyjson_get_uint(value);
    }
    uint64_t n = 0;
    (void)weir_bytes_parse(weir_str_from(yyjson_get_str(value)), &n);
    return n;
}

/* One string or a list of them. */
static struct weir_config_strings strings_of(struct builder *b, yyjson_val *value)
{
    struct weir_config_strings out = {.n = 0};
    size_t n = yyjson_is_str(value) ? 1 : yyjson_arr_size(value);
    out.items = take(b, n, sizeof(out.items[0]));
    if (!out.items) {
        return out;
    }
    if (yyjson_is_str(value)) {
        out.items[out.n++] = yyjson_get_str(value);
        return out;
    }
    size_t i, max;
    yyjson_val *item;
    yyjson_arr_foreach(value, i, max, item)
    {
        out.items[out.n++] = yyjson_get_str(item);
    }
    return out;
}

static void build_server(struct builder *b, yyjson_val *json)
{
    struct weir_config_server *s = &b->config->server;
    yyjson_val *limits = get(json, "limits");
    yyjson_val *http2 = get(json, "http2");
    *s = (struct weir_config_server){
        .listen = strings_of(b, get(json, "listen")),
        .admin = text_of(json, "admin"),
        .admin_keys =
            yyjson_equals_str(get(json, "admin_keys"), "required")   ? WEIR_ADMIN_KEYS_REQUIRED
            : yyjson_equals_str(get(json, "admin_keys"), "optional") ? WEIR_ADMIN_KEYS_OPTIONAL
                                                                     : WEIR_ADMIN_KEYS_AUTO,
        .n_workers = number_of(json, "workers"),
        .pin_threads = yyjson_equals_str(get(json, "affinity"), "auto"),
        .tls_cert = text_of(get(json, "tls"), "cert"),
        .tls_key = text_of(get(json, "tls"), "key"),
        .tls_client_ca = text_of(get(json, "tls"), "client_ca"),
        .tls_13_only = yyjson_equals_str(get(get(json, "tls"), "min_version"), "1.3"),
        .tls_admin = yyjson_get_bool(get(get(json, "tls"), "admin")),
        .http2_max_streams =
            yyjson_get_bool(get(http2, "enabled")) ? number_of(http2, "max_streams") : 0,
        .region = text_of(json, "region"),
        .drain_timeout_ms = ms_of(json, "drain_timeout"),
        .limits =
            {
                .max_connections = number_of(limits, "connections"),
                .max_target_bytes = bytes_of(limits, "target_bytes"),
                .max_head_bytes = bytes_of(limits, "header_bytes"),
                .max_headers = number_of(limits, "headers"),
                .max_body_bytes = bytes_of(limits, "body_bytes"),
                .header_timeout_ms = ms_of(limits, "header_timeout"),
                .body_idle_timeout_ms = ms_of(limits, "body_timeout"),
                .keepalive_timeout_ms = ms_of(limits, "keepalive_timeout"),
                .write_stall_timeout_ms = ms_of(limits, "write_timeout"),
            },
    };
}

static void build_small_parts(struct builder *b, yyjson_val *root)
{
    struct weir_config *c = b->config;
    yyjson_val *store = get(root, "store"), *breaker = get(store, "circuit_breaker");
    yyjson_val *logging = get(root, "logging");
    c->store =
        (struct weir_config_store){.driver = text_of(store, "driver"),
                                   .url = text_of(store, "url"),
                                   .timeout_ms = ms_of(store, "timeout"),
                                   .password_file = text_of(store, "password_file"),
                                   .password_env = text_of(store, "password_env"),
                                   .n_connections = number_of(store, "connections"),
                                   .max_in_flight = number_of(store, "max_in_flight"),
                                   .max_bytes = bytes_of(store, "max_bytes"),
                                   .prefix = text_of(store, "prefix"),
                                   .tls_ca = text_of(get(store, "tls"), "ca"),
                                   .tls_cert = text_of(get(store, "tls"), "cert"),
                                   .tls_key = text_of(get(store, "tls"), "key"),
                                   .tls_server_name = text_of(get(store, "tls"), "server_name"),
                                   .breaker = {
                                       .failure_threshold = number_of(breaker, "failure_threshold"),
                                       .failure_percent = number_of(breaker, "failure_percent"),
                                       .min_operations = number_of(breaker, "min_operations"),
                                       .window_ms = ms_of(breaker, "window"),
                                       .open_ms = ms_of(breaker, "open_time"),
                                       .max_open_ms = ms_of(breaker, "max_open_time"),
                                   }};
    c->logging = (struct weir_config_logging){
        .level = text_of(logging, "level"),
        .json = yyjson_equals_str(get(logging, "format"), "json"),
    };
    c->plugin_dirs = strings_of(b, get(root, "plugin_dirs"));
    c->metrics_compat = strings_of(b, get(get(root, "metrics"), "compat"));
    c->models_dir = text_of(root, "models_dir");
}

static void add_device(struct weir_config_engine *e, yyjson_val *json)
{
    if (e->n_devices < WEIR_CONFIG_DEVICES_MAX) {
        e->devices[e->n_devices++] = (struct weir_config_device){
            .id = yyjson_get_str(json), .index = (uint32_t)yyjson_get_uint(json)};
    }
}

static void read_devices(struct weir_config_engine *e, yyjson_val *json)
{
    if (!yyjson_is_arr(json)) {
        if (json && !yyjson_equals_str(json, "auto")) {
            add_device(e, json);
        }
        return;
    }
    size_t i, max;
    yyjson_val *item;
    yyjson_arr_foreach(json, i, max, item)
    {
        add_device(e, item);
    }
}

static struct weir_config_engine engine_of(yyjson_val *json)
{
    struct weir_config_engine e = {
        .backend = text_of(json, "backend"),
        .file = text_of(json, "file"),
        .n_threads = number_of(json, "threads"),
        .n_ctx = number_of(json, "context"),
        .kv_bytes = bytes_of(json, "kv_memory"),
        .max_sequences = number_of(json, "max_batch"),
        .max_step_tokens = number_of(json, "step_budget"),
        .stall_timeout_ms = ms_of(json, "stall_timeout"),
        .options = get(json, "options"),
    };
    read_devices(&e, get(json, "device"));
    return e;
}

static struct weir_config_upstream upstream_of(yyjson_val *json)
{
    return (struct weir_config_upstream){
        .backend = text_of(json, "backend"),
        .url = text_of(json, "url"),
        .model = text_of(json, "model"),
        .region = text_of(json, "region"),
        .json = json,
    };
}

/* The first of the objects that has it; else `usual`. */
static uint32_t timeout_of(yyjson_val *const *objects, const char *key, uint32_t usual_ms)
{
    for (size_t i = 0; i < 3; i++) {
        if (get(objects[i], key)) {
            return ms_of(objects[i], key);
        }
    }
    return usual_ms;
}

static struct weir_config_timeouts timeouts_of(yyjson_val *const *objects, bool is_engine)
{
    enum { CONNECT_MS = 5000, FIRST_MS = 60000, BETWEEN_MS = 30000, TOTAL_MS = 600000 };
    return (struct weir_config_timeouts){
        .connect_ms = timeout_of(objects, "connect", CONNECT_MS),
        .first_token_ms = timeout_of(objects, "first_token", is_engine ? 0 : FIRST_MS),
        .between_tokens_ms = timeout_of(objects, "between_tokens", is_engine ? 0 : BETWEEN_MS),
        .total_ms = timeout_of(objects, "total", is_engine ? 0 : TOTAL_MS),
    };
}

static struct weir_config_check check_of(yyjson_val *json)
{
    enum { INTERVAL_MS = 5000, TIMEOUT_MS = 3000, FAILURES = 3 };
    return (struct weir_config_check){
        .enabled = yyjson_get_bool(get(json, "enabled")),
        .path = text_of(json, "path"),
        .interval_ms = get(json, "interval") ? ms_of(json, "interval") : INTERVAL_MS,
        .timeout_ms = get(json, "timeout") ? ms_of(json, "timeout") : TIMEOUT_MS,
        .n_failures = get(json, "failures") ? number_of(json, "failures") : FAILURES,
        .n_successes = get(json, "successes") ? number_of(json, "successes") : 1,
    };
}

static struct weir_config_health_checks checks_of(yyjson_val *json)
{
    return (struct weir_config_health_checks){
        .liveness = check_of(get(json, "liveness")),
        .readiness = check_of(get(json, "readiness")),
        .startup = check_of(get(json, "startup")),
    };
}

static void build_targets(struct builder *b, struct weir_config_model *model,
                          yyjson_val *model_json, const struct weir_doc_node *node)
{
    yyjson_val *root = yyjson_doc_get_root(b->config->json);
    yyjson_val *json = get(model_json, "targets");
    yyjson_val *usual_checks = get(get(root, "load_balancing"), "health_checks");
    model->targets = take(b, yyjson_arr_size(json), sizeof(model->targets[0]));
    if (!model->targets) {
        return;
    }
    const struct weir_doc_node *at = node->first;
    size_t i, max;
    yyjson_val *item;
    yyjson_arr_foreach(json, i, max, item)
    {
        struct weir_config_target *t = &model->targets[model->n_targets++];
        t->is_engine = get(item, "engine") != NULL;
        if (t->is_engine) {
            t->engine = engine_of(get(item, "engine"));
        } else {
            t->upstream = upstream_of(get(item, "upstream"));
        }
        yyjson_val *timeouts[] = {get(item, "timeouts"), get(model_json, "timeouts"),
                                  get(root, "timeouts")};
        yyjson_val *checks = get(item, "health_checks");
        t->region = text_of(item, "region");
        t->region = t->region ? t->region : t->upstream.region;
        t->timeouts = timeouts_of(timeouts, t->is_engine);
        /* The general ones are for upstreams: an engine says by itself how it is. */
        t->checks = checks_of(checks ? checks : t->is_engine ? NULL : usual_checks);
        t->weight = number_of(item, "weight");
        t->node = at;
        at = at->next;
    }
}

/* Pointers to the models that a list names; all exist. */
static const struct weir_config_model **models_of(struct builder *b, yyjson_val *names,
                                                  size_t *ret_n)
{
    const struct weir_config_model **out = take(b, yyjson_arr_size(names), sizeof(out[0]));
    size_t n = 0;
    size_t i, max;
    yyjson_val *name;
    yyjson_arr_foreach(names, i, max, name)
    {
        const struct weir_config_model *m = weir_config_model_find(
            b->config, (weir_str){yyjson_get_str(name), yyjson_get_len(name)});
        if (out && m) {
            out[n++] = m;
        }
    }
    *ret_n = n;
    return out;
}

static uint32_t queue_timeout_of(const struct builder *b, yyjson_val *model)
{
    yyjson_val *lists[] = {get(model, "timeouts"),
                           get(yyjson_doc_get_root(b->config->json), "timeouts"), NULL};
    uint32_t own_ms = ms_of(get(model, "queue"), "timeout");
    uint32_t other_ms = timeout_of(lists, "queue", own_ms);
    return other_ms < own_ms ? other_ms : own_ms;
}

static weir_sampling sampling_of(yyjson_val *json)
{
    return (weir_sampling){
        .struct_size = sizeof(weir_sampling),
        .temperature = (float)yyjson_get_num(get(json, "temperature")),
        .top_p = (float)yyjson_get_num(get(json, "top_p")),
        .top_k = (int32_t)number_of(json, "top_k"),
        .min_p = (float)yyjson_get_num(get(json, "min_p")),
        .typical_p = (float)yyjson_get_num(get(json, "typical_p")),
        .repetition_penalty = (float)yyjson_get_num(get(json, "repetition_penalty")),
        .presence_penalty = (float)yyjson_get_num(get(json, "presence_penalty")),
        .frequency_penalty = (float)yyjson_get_num(get(json, "frequency_penalty")),
    };
}

static void build_model(struct builder *b, struct weir_config_model *m, yyjson_val *json)
{
    const struct weir_doc_node *models = weir_doc_find(weir_doc_root(b->config->doc), "models");
    const struct weir_doc_node *node = weir_doc_get(models, weir_str_from(m->name));
    yyjson_val *service_class = get(json, "class");
    yyjson_val *queue = get(json, "queue");
    (void)weir_class_parse(weir_str_from(yyjson_get_str(service_class)), &m->service_class);
    m->queue_size = number_of(queue, "size");
    m->queue_timeout_ms = queue_timeout_of(b, json);
    yyjson_val *root = yyjson_doc_get_root(b->config->json);
    yyjson_val *affinity = get(json, "affinity");
    m->affinity_header = text_of(affinity, "header");
    m->affinity_cookie = text_of(affinity, "cookie");
    m->affinity_user = yyjson_get_bool(get(affinity, "user"));
    m->algorithm = text_of(json, "algorithm");
    m->algorithm = m->algorithm ? m->algorithm : text_of(get(root, "load_balancing"), "algorithm");
    m->hedge_after_ms = get(json, "hedge_after") ? ms_of(json, "hedge_after")
                                                 : ms_of(get(root, "gateway"), "hedge_after");
    m->sampling = sampling_of(get(json, "sampling"));
    m->fallback = models_of(b, get(json, "fallback"), &m->n_fallback);
    build_targets(b, m, json, weir_doc_find(node, "targets"));
}

static void build_models(struct builder *b, yyjson_val *json)
{
    struct weir_config *c = b->config;
    c->models = take(b, yyjson_obj_size(json), sizeof(c->models[0]));
    if (!c->models) {
        return;
    }
    size_t i, max;
    yyjson_val *key, *value;
    /* Names first: a fallback may stand before the model that it names. */
    yyjson_obj_foreach(json, i, max, key, value)
    {
        c->models[c->n_models++].name = yyjson_get_str(key);
    }
    yyjson_obj_foreach(json, i, max, key, value)
    {
        build_model(b, &c->models[i], value);
    }
}

static struct weir_config_shed_step shed_step_of(yyjson_val *json)
{
    static const char *const actions[] = {
        [WEIR_SHED_MAX_TOKENS] = "max_tokens",
        [WEIR_SHED_FALLBACK] = "fallback",
        [WEIR_SHED_CACHED_ONLY] = "cached_only",
        [WEIR_SHED_REJECT] = "reject",
    };
    struct weir_config_shed_step step = {
        .has_wait = get(json, "wait") != NULL,
        .has_fill = get(json, "queue") != NULL,
        .fill = yyjson_get_num(get(json, "queue")),
        .max_tokens = number_of(json, "max_tokens"),
    };
    if (step.has_wait) {
        (void)weir_duration_parse(weir_str_from(text_of(json, "wait")), &step.wait_us);
    }
    while (!yyjson_equals_str(get(json, "action"), actions[step.action])) {
        step.action++;
    }
    return step;
}

static void build_shedding(struct builder *b, yyjson_val *json)
{
    struct weir_config_shedding *s = &b->config->shedding;
    s->hold_ms = ms_of(json, "hold");
    for (int c = 0; c < 3; c++) {
        struct weir_config_shed_ladder *ladder = &s->ladders[c];
        size_t i, max;
        yyjson_val *item;
        yyjson_arr_foreach(get(json, weir_class_name((enum weir_class)c)), i, max, item)
        {
            ladder->steps[ladder->n_steps++] = shed_step_of(item); /* the schema bounds them */
        }
    }
}

static uint64_t ms_as_us(yyjson_val *json, const char *key)
{
    double ms = yyjson_get_num(get(json, key)); /* above 0, by the schema */
    return ms < 1e12 ? (uint64_t)(ms * 1000) : (uint64_t)1e15;
}

static void build_slas(struct builder *b, yyjson_val *performance)
{
    yyjson_val *slas = get(performance, "latency_slas");
    for (int c = 0; c < 3; c++) {
        yyjson_val *sla = get(slas, weir_class_name((enum weir_class)c));
        b->config->slas[c] = (struct weir_config_latency_sla){
            .ttft_us = ms_as_us(sla, "ttft_max_ms"),
            .p95_us = ms_as_us(sla, "p95_max_ms"),
            .p99_us = ms_as_us(sla, "p99_max_ms"),
        };
    }
}

static void build_gateway(struct builder *b, yyjson_val *json)
{
    struct weir_config_gateway *g = &b->config->gateway;
    yyjson_val *ejection = get(json, "ejection");
    yyjson_val *retries = get(json, "retries");
    yyjson_val *regions = get(json, "regions");
    g->load_bound = yyjson_get_num(get(json, "load_bound"));
    g->slow_start_ms = ms_of(json, "slow_start");
    g->ejection.consecutive_errors = number_of(ejection, "consecutive_errors");
    g->ejection.success_percent = number_of(ejection, "success_percent");
    g->ejection.min_requests = number_of(ejection, "requests");
    g->ejection.window_ms = ms_of(ejection, "window");
    g->ejection.eject_ms = ms_of(ejection, "time");
    g->ejection.max_eject_ms = ms_of(ejection, "max_time");
    g->ejection.max_percent = number_of(ejection, "max_percent");
    g->retries.attempts = number_of(retries, "attempts");
    g->retries.budget_percent = number_of(retries, "budget_percent");
    g->retries.backoff_ms = ms_of(retries, "backoff");
    g->retries.max_backoff_ms = ms_of(retries, "max_backoff");
    g->regions.min_healthy_percent = number_of(regions, "min_healthy_percent");
    g->regions.leave_after_ms = ms_of(regions, "leave_after");
    g->regions.return_after_ms = ms_of(regions, "return_after");
}

/* Plugins that do what another block asks for, where their own entry does not say otherwise. */
static const struct {
    const char *plugin, *block;
} defaults_of[] = {
    {"cache", "caching.response"},
    {"breaker", "load_balancing.circuit_breaker"},
};

static void take_defaults(const struct weir_config *c, struct weir_config_plugin *p)
{
    for (size_t i = 0; p->node && i < sizeof(defaults_of) / sizeof(defaults_of[0]); i++) {
        if (strcmp(p->name, defaults_of[i].plugin) == 0) {
            p->node = weir_doc_with_defaults(
                c->doc, p->node, weir_doc_find(weir_doc_root(c->doc), defaults_of[i].block));
        }
    }
}

static void build_plugins(struct builder *b)
{
    struct weir_config *c = b->config;
    const struct weir_doc_node *list = weir_doc_find(weir_doc_root(c->doc), "plugins");
    c->plugins = take(b, list ? list->n_children : 0, sizeof(c->plugins[0]));
    if (!list || !c->plugins) {
        return;
    }
    for (const struct weir_doc_node *it = list->first; it; it = it->next) {
        struct weir_config_plugin *p = &c->plugins[c->n_plugins++];
        const struct weir_doc_node *config = it->type == WEIR_DOC_MAP ? it->first : NULL;
        p->name_node = config ? config : it;
        p->name = config ? config->key.p : it->text.p;
        p->is_path = strchr(p->name, '/') != NULL;
        p->node = config && config->type == WEIR_DOC_MAP ? config
                                                         : weir_doc_empty_map(c->doc, p->name_node);
        take_defaults(c, p);
        b->out_of_memory = b->out_of_memory || !p->node;
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct weir_config_tenant *)a)->name,
                  ((const struct weir_config_tenant *)b)->name);
}

static void build_tenants(struct builder *b, yyjson_val *json)
{
    struct weir_config *c = b->config;
    c->tenants = take(b, yyjson_obj_size(json), sizeof(c->tenants[0]));
    if (!c->tenants) {
        return;
    }
    size_t i, max;
    yyjson_val *key, *value;
    yyjson_obj_foreach(json, i, max, key, value)
    {
        struct weir_config_tenant *t = &c->tenants[c->n_tenants++];
        const char *tier = text_of(value, "tier");
        t->name = yyjson_get_str(key);
        t->has_class = tier != NULL;
        (void)weir_class_parse(weir_str_from(tier), &t->service_class);
        t->models = models_of(b, get(value, "models"), &t->n_models);
        t->json = value;
    }
    qsort(c->tenants, c->n_tenants, sizeof(c->tenants[0]), by_name);
    size_t n = 0;
    char *text = yyjson_val_write(json, 0, &n);
    c->tenants_json = text ? weir_arena_copy(&c->arena, (weir_str){text, n}) : (weir_str){NULL, 0};
    free(text);
    b->out_of_memory = b->out_of_memory || !c->tenants_json.p;
}

int weir__config_build(struct weir_config *config)
{
    struct builder b = {.config = config};
    yyjson_val *root = yyjson_doc_get_root(config->json);
    build_server(&b, get(root, "server"));
    build_small_parts(&b, root);
    build_models(&b, get(root, "models"));
    build_slas(&b, get(root, "performance"));
    build_gateway(&b, get(root, "gateway"));
    build_shedding(&b, get(root, "shedding"));
    build_plugins(&b);
    build_tenants(&b, get(root, "tenants"));
    return b.out_of_memory ? WEIR_E_NOMEM : 0;
}
