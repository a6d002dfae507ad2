/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The configuration of a running weir: typed, checked, immutable.
 *
 * Why: everything else reads plain fields with units and never looks at YAML. A reload makes a new
 * configuration; requests that began under the old one keep it until they are done.
 * The parts that belong to plugins (their own configuration, the tenants block) are kept as JSON.
 * Ownership: reference-counted; every pointer in it lives as long as the configuration.
 * Threads: any; ref and unref are atomic, the rest is constant.
 * Errors: all mistakes go to a list of findings. Broken enterprise rules are not looked at here:
 * see rules.h.
 * Invariant: names in fallback and tenants.models exist; every target has an engine or an
 * upstream, never both; every list that may be empty has n == 0. */
#include <stdatomic.h>
#include <yyjson.h>

#include "core/config/doc.h"
#include "core/config/service_class.h"
#include "weir/backend_step.h"

/* All strings are NUL-ended and never NULL where a default exists; NULL elsewhere: left out. */

struct weir_config_strings {
    const char **items;
    size_t n;
};

struct weir_config_limits {
    uint32_t max_connections; /* per worker */
    size_t max_target_bytes;
    size_t max_head_bytes;
    size_t max_headers;
    size_t max_body_bytes;
    uint32_t header_timeout_ms;
    uint32_t body_idle_timeout_ms;
    uint32_t keepalive_timeout_ms;
    uint32_t write_stall_timeout_ms;
};

enum weir_admin_keys {                       /* must callers of the admin listener show a key? */
                       WEIR_ADMIN_KEYS_AUTO, /* unless it is on loopback or a Unix socket */
                       WEIR_ADMIN_KEYS_REQUIRED,
                       WEIR_ADMIN_KEYS_OPTIONAL, /* one that is shown is checked all the same */
};

struct weir_config_server {
    struct weir_config_strings listen; /* "host:port" or "unix:/path", at least one */
    const char *admin;
    enum weir_admin_keys admin_keys;
    uint32_t n_workers; /* 0: one for each core that the engines leave over */
    bool pin_threads;
    const char *tls_cert, *tls_key; /* both or none */
    const char *tls_client_ca;      /* NULL: clients need no certificate */
    bool tls_13_only, tls_admin;    /* tls_admin: on `admin` as well */
    uint32_t http2_max_streams;     /* 0: no HTTP/2 */
    const char *region;             /* NULL: not said */
    uint32_t drain_timeout_ms;
    struct weir_config_limits limits;
};

struct weir_config_store {
    const char *driver;
    const char *url; /* NULL for the memory driver */
    uint32_t timeout_ms;
    const char *password_file, *password_env; /* NULL: none; at most one of them and the url's */
    uint32_t n_connections, max_in_flight;    /* of each loop */
    uint64_t max_bytes;                       /* of the memory driver */
    const char *prefix;
    const char *tls_ca, *tls_cert, *tls_key, *tls_server_name; /* NULL: not given */
    struct {
        uint32_t failure_threshold, failure_percent, min_operations; /* percent 0: no window */
        uint32_t window_ms, open_ms, max_open_ms;
    } breaker; /* of redis */
};

struct weir_config_logging {
    const char *level; /* as weir_log_level_parse() knows it */
    bool json;
};

enum { WEIR_CONFIG_DEVICES_MAX = 16 };

struct weir_config_device {
    const char *id; /* or its beginning; NULL: chosen by index */
    uint32_t index;
};

/* Numbers are 0 for "auto". */
struct weir_config_engine {
    const char *backend; /* "auto" or a backend's name */
    const char *file;    /* as written; NULL when the backend needs none */
    struct weir_config_device devices[WEIR_CONFIG_DEVICES_MAX];
    uint32_t n_devices; /* 0: not chosen; above 1: the model is split over them */
    uint32_t n_threads;
    uint32_t n_ctx; /* tokens */
    uint64_t kv_bytes;
    uint32_t max_sequences;
    uint32_t max_step_tokens;
    uint32_t stall_timeout_ms;
    yyjson_val *options; /* the backend's own object */
};

struct weir_config_upstream {
    const char *backend; /* "http" */
    const char *url;
    const char *model;  /* name there; NULL: the same */
    const char *region; /* NULL: left out */
    yyjson_val *json;   /* the whole object */
};

/* 0: no bound. */
struct weir_config_timeouts {
    uint32_t connect_ms, first_token_ms, between_tokens_ms, total_ms;
};

struct weir_config_check {
    bool enabled;
    const char *path; /* NULL: the upstream's list of models */
    uint32_t interval_ms, timeout_ms, n_failures, n_successes;
};

struct weir_config_health_checks {
    struct weir_config_check liveness, readiness, startup;
};

struct weir_config_gateway {
    double load_bound;
    uint32_t slow_start_ms;
    struct {
        uint32_t consecutive_errors, success_percent, min_requests;
        uint32_t window_ms, eject_ms, max_eject_ms, max_percent;
    } ejection;
    struct {
        uint32_t attempts, budget_percent, backoff_ms, max_backoff_ms;
    } retries;
    struct {
        uint32_t min_healthy_percent, leave_after_ms, return_after_ms;
    } regions;
};

struct weir_config_target {
    const char *region; /* NULL: server.region */
    struct weir_config_timeouts timeouts;
    struct weir_config_health_checks checks;
    bool is_engine; /* which of the two below holds */
    struct weir_config_engine engine;
    struct weir_config_upstream upstream;
    uint32_t weight;
    const struct weir_doc_node *node; /* where it stands, for messages */
};

struct weir_config_model {
    const char *name;
    enum weir_class service_class;
    struct weir_config_target *targets;
    size_t n_targets;
    uint32_t queue_size;
    uint32_t queue_timeout_ms;
    const struct weir_config_model **fallback;
    size_t n_fallback;
    uint32_t hedge_after_ms;     /* 0: no hedges */
    const char *algorithm;       /* of load balancing; NULL: the default */
    const char *affinity_header; /* NULL: none */
    const char *affinity_cookie; /* NULL: none */
    bool affinity_user;
    weir_sampling sampling; /* of requests that leave it out */
};

/* One entry of `plugins:`; the order is the order of execution. */
struct weir_config_plugin {
    const char *name;                      /* a name, or the path of a shared object */
    bool is_path;                          /* has a slash */
    const struct weir_doc_node *node;      /* its configuration; an empty map when left out */
    const struct weir_doc_node *name_node; /* where the name stands */
};

/* What is promised to a service class; 0: nothing. */
struct weir_config_latency_sla {
    uint64_t ttft_us, p95_us, p99_us;
};

enum weir_shed_action {
    WEIR_SHED_MAX_TOKENS,
    WEIR_SHED_FALLBACK,
    WEIR_SHED_CACHED_ONLY,
    WEIR_SHED_REJECT,
};

/* One step of a ladder; it holds when one of the conditions given does, or when none is given. */
struct weir_config_shed_step {
    bool has_wait, has_fill;
    uint64_t wait_us;
    double fill;
    enum weir_shed_action action;
    uint32_t max_tokens; /* WEIR_SHED_MAX_TOKENS */
};

enum { WEIR_CONFIG_SHED_STEPS = 8 };

struct weir_config_shed_ladder {
    struct weir_config_shed_step steps[WEIR_CONFIG_SHED_STEPS]; /* the mildest first */
    uint32_t n_steps;
};

struct weir_config_shedding {
    uint32_t hold_ms;
    struct weir_config_shed_ladder ladders[3]; /* by enum weir_class */
};

struct weir_config_tenant {
    const char *name;
    bool has_class;
    enum weir_class service_class;           /* only if has_class */
    const struct weir_config_model **models; /* n_models == 0: all */
    size_t n_models;
    yyjson_val *json; /* everything, for plugins */
};

struct weir_config {
    atomic_uint n_refs;
    struct weir_arena arena;
    struct weir_doc *doc; /* keeps the nodes alive */
    yyjson_doc *json;     /* validated, defaults filled in */
    const char *file;

    struct weir_config_server server;
    struct weir_config_store store;
    struct weir_config_logging logging;
    struct weir_config_strings plugin_dirs;
    struct weir_config_strings metrics_compat;
    const char *models_dir; /* NULL: see model_path.h */
    struct weir_config_model *models;
    size_t n_models;
    struct weir_config_gateway gateway;
    struct weir_config_shedding shedding;
    struct weir_config_latency_sla slas[3]; /* by enum weir_class */
    struct weir_config_plugin *plugins;
    size_t n_plugins;
    struct weir_config_tenant *tenants;
    size_t n_tenants;
    weir_str tenants_json; /* the whole block as JSON text, "{}" when left out */
};

/* Reads findings->file. On success the caller owns one reference, and broken rules may have been
 * added when `with_rules`. On failure `findings` says why. */
int weir_config_load(struct weir_findings *findings, bool with_rules,
                     struct weir_config **ret_config);
/* The same from text, for tests. */
int weir_config_parse(weir_str text, struct weir_findings *findings, bool with_rules,
                      struct weir_config **ret_config);

struct weir_config *weir_config_ref(struct weir_config *config);
void weir_config_unref(struct weir_config *config); /* NULL ok */

/* The built-in JSON Schema of the file, as text. */
weir_str weir_config_schema(void);

/* NULL: there is none. */
const struct weir_config_model *weir_config_model_find(const struct weir_config *config,
                                                       weir_str name);
const struct weir_config_tenant *weir_config_tenant_find(const struct weir_config *config,
                                                         weir_str name);
