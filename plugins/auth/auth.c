/* SPDX-License-Identifier: Apache-2.0 */
/* Policy "auth": who calls. API keys to tenant, key and user; the admin API's guard.
 *
 * HEADERS: finds the key, or answers 401; says which models it may use, to which the core holds
 * every model of the request. BODY: the user of the body when nobody else said who it is.
 * A tenant's `models:` and its suspension are the core's business; a key can only narrow further.
 */
#include "auth.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

#include "weir/plugin.h"

enum { MAX_USER_BYTES = 128 };

struct state { /* per request */
    struct auth_key *key;
};

void auth_count(const struct auth *a, weir_metric metric, const char *result)
{
    if (a->metrics) {
        weir_str value = weir_str_from(result);
        a->metrics->record(a->host, metric, 1, &value, 1);
    }
}

/* ---- life ---- */

static uint64_t seconds_us(yyjson_val *root, const char *name)
{
    return yyjson_get_uint(yyjson_obj_get(root, name)) * 1000000;
}

static bool read_user_header(struct auth *a, yyjson_val *root)
{
    weir_str secret = auth_text(yyjson_obj_get(root, "secret"));
    if (!root) {
        return true;
    }
    (void)snprintf(a->user_header, sizeof(a->user_header), "%s",
                   yyjson_get_str(yyjson_obj_get(root, "name")));
    a->user_max_age_us = seconds_us(root, "max_age_seconds");
    a->user_secret_len = secret.n;
    a->user_secret = a->host->alloc(a->host, a->user_secret_len + 1);
    if (a->user_secret) {
        memcpy(a->user_secret, secret.p, secret.n);
    }
    return a->user_secret != NULL;
}

static bool read_config(struct auth *a, weir_str json, struct auth_cache_times *ret_times,
                        uint32_t *ret_n_keys)
{
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *cache = yyjson_obj_get(root, "cache");
    const char *loss = yyjson_get_str(yyjson_obj_get(root, "on_store_loss"));
    const char *header = yyjson_get_str(yyjson_obj_get(root, "header"));
    a->required = !yyjson_is_false(yyjson_obj_get(root, "required"));
    (void)snprintf(a->header, sizeof(a->header), "%s", header ? header : "authorization");
    a->on_loss = loss && strcmp(loss, "deny") == 0    ? AUTH_LOSS_DENY
                 : loss && strcmp(loss, "allow") == 0 ? AUTH_LOSS_ALLOW
                                                      : AUTH_LOSS_LOCAL;
    a->loss_us = seconds_us(root, "store_loss_seconds");
    *ret_times = (struct auth_cache_times){.fresh_us = seconds_us(cache, "seconds"),
                                           .unknown_us = seconds_us(cache, "unknown_seconds"),
                                           .retry_us = 1000000};
    *ret_n_keys = (uint32_t)yyjson_get_uint(yyjson_obj_get(cache, "keys"));
    bool ok = doc && read_user_header(a, yyjson_obj_get(root, "user_header"));
    yyjson_doc_free(doc);
    return ok;
}

static void instance_destroy(void *instance)
{
    struct auth *a = instance;
    if (a->user_secret) {
        OPENSSL_cleanse(a->user_secret, a->user_secret_len);
        a->host->free(a->host, a->user_secret);
    }
    auth_keys_destroy(a->keys);
    auth_cache_destroy(a->cache);
    a->host->free(a->host, a);
}

static void find_extensions(struct auth *a)
{
    static const char *const labels[] = {"result"};
    const weir_host *h = a->host;
    const weir_ext_metrics *metrics = h->get_ext(h, WEIR_EXT_METRICS);
    a->tenants = h->get_ext(h, WEIR_EXT_TENANTS);
    a->store = h->get_ext(h, WEIR_EXT_STORE);
    a->admin = h->get_ext(h, WEIR_EXT_ADMIN);
    if (metrics && WEIR_HAS_FN(metrics, record)) {
        a->metrics = metrics;
        a->requests = metrics->define(h, WEIR_METRIC_COUNTER, "requests_total",
                                      "Requests by what became of their key.", labels, 1);
        a->lookups = metrics->define(h, WEIR_METRIC_COUNTER, "lookups_total",
                                     "Keys read from the store, by result.", labels, 1);
    }
}

/* Another replica, or this one, has changed the key TENANT/ID. */
static void on_message(void *arg, weir_str message, int lost)
{
    struct auth *a = arg;
    const char *slash = message.n ? memchr(message.p, '/', message.n) : NULL;
    if (lost) {
        auth_cache_doubt(a->cache, (weir_str){NULL, 0});
    } else if (slash) {
        size_t n = (size_t)(slash - message.p);
        auth_cache_drop(a->cache,
                        (struct auth_name){{message.p, n}, {slash + 1, message.n - n - 1}});
    }
}

/* It may have gone and come again under the same name, with none of its old keys. */
static void on_tenant(void *arg, weir_str tenant)
{
    struct auth *a = arg;
    auth_cache_doubt(a->cache, tenant);
}

static int guard(void *arg, weir_req *r);
static int guard_resumed(void *arg, weir_req *r, int rc, weir_str data);

static bool connect_parts(struct auth *a)
{
    bool ok = true;
    if (a->store) {
        ok = a->store->subscribe(a->host, weir_str_from(AUTH_CHANNEL), on_message, a) == 0 &&
             a->tenants->watch(a->host, on_tenant, a) == 0;
    }
    if (ok && a->admin) {
        ok = a->admin->guard(a->host, guard, guard_resumed, a) == 0;
    }
    if (ok && a->admin && a->store) {
        ok = auth_key_api_define(a) == 0;
    }
    return ok;
}

static void *instance_create(const weir_host *host, weir_str config_json, weir_str *err)
{
    static char error[AUTH_ERROR_BYTES]; /* [main] only; outlives a failed instance */
    struct auth_cache_times times;
    uint32_t n_keys = 0;
    struct auth *a = host->alloc(host, sizeof(*a));
    *err = weir_str_from("out of memory");
    if (!a) {
        return NULL;
    }
    *a = (struct auth){.host = host};
    find_extensions(a);
    if (!read_config(a, config_json, &times, &n_keys) ||
        auth_cache_create(host, n_keys, times, &a->cache) < 0) {
        instance_destroy(a);
        return NULL;
    }
    a->keys = auth_keys_create(host, a->tenants->config_json(host), error);
    if (!a->keys) {
        *err = weir_str_from(error);
        instance_destroy(a);
        return NULL;
    }
    if (!connect_parts(a)) {
        *err = weir_str_from("the host refused its routes or its subscription");
        instance_destroy(a);
        return NULL;
    }
    if (a->required && !a->store && auth_keys_count(a->keys) == 0) {
        static const char warning[] = "no tenant has a key: every request will be refused";
        host->log(host, WEIR_LEVEL_WARN, NULL, weir_str_from(warning));
    }
    return a;
}

/* ---- requests ---- */

static int refuse_user(const struct auth *a, weir_req *r)
{
    auth_count(a, a->requests, "bad_user");
    (void)a->host->deny(a->host, r, 401, weir_str_from("invalid_request_error"),
                        weir_str_from("invalid_user_signature"),
                        weir_str_from("The signed user header is malformed, wrong or too old."));
    return WEIR_DENY;
}

static int set_user(const struct auth *a, weir_req *r, const struct auth_key *key)
{
    weir_str user = key->user;
    if (user.n == 0 && *a->user_header) {
        int rc = auth_user_read(a, r, key, &user);
        if (rc == WEIR_E_ARG) {
            return refuse_user(a, r);
        }
    }
    return user.n && a->host->req_set(a->host, r, WEIR_FIELD_USER, user) < 0 ? WEIR_FAIL
                                                                             : WEIR_CONTINUE;
}

static int accept_key(const struct auth *a, weir_req *r, struct auth_key *key)
{
    const weir_host *h = a->host;
    struct state *s = h->req_state(h, r);
    s->key = key; /* its reference ends in on_complete */
    if (!(key->scopes & WEIR_SCOPE_INFERENCE)) {
        auth_count(a, a->requests, "scope_denied");
        (void)h->deny(h, r, 403, (weir_str){NULL, 0}, weir_str_from("insufficient_scope"),
                      weir_str_from("This API key is not for inference."));
        return WEIR_DENY;
    }
    int rc = h->req_set(h, r, WEIR_FIELD_TENANT, key->tenant);
    if (rc == 0) {
        rc = h->req_set(h, r, WEIR_FIELD_KEY_ID, key->id);
    }
    if (rc == 0 && key->models.n) {
        rc = h->req_set(h, r, WEIR_FIELD_KEY_MODELS, key->models);
    }
    if (rc == 0 && key->limits.n) {
        rc = h->req_set(h, r, WEIR_FIELD_KEY_LIMITS, key->limits);
    }
    if (rc < 0) {
        return WEIR_FAIL;
    }
    int verdict = set_user(a, r, key);
    if (verdict == WEIR_CONTINUE) {
        auth_count(a, a->requests, "ok");
    }
    return verdict;
}

static int on_headers(struct auth *a, weir_req *r, uint32_t round)
{
    struct auth_key *key = NULL;
    enum auth_verdict verdict = auth_check(a, r, a->header, round, &key);
    if (verdict == AUTH_WAITS) {
        return WEIR_SUSPEND;
    }
    if (verdict == AUTH_MISSING && !a->required) {
        auth_count(a, a->requests, "anonymous");
        return WEIR_CONTINUE;
    }
    return verdict == AUTH_OK ? accept_key(a, r, key) : auth_refuse(a, r, verdict);
}

/* The user of the body: who holds the key says who it is, unless the key or a signature did. */
static int take_body_user(const struct auth *a, weir_req *r)
{
    const weir_host *h = a->host;
    weir_str user;
    if (h->req_get(h, r, WEIR_FIELD_USER, &user) == 0 || h->req_json(h, r, "/user", &user) < 0 ||
        user.n == 0) {
        return WEIR_CONTINUE;
    }
    if (user.n > MAX_USER_BYTES) {
        (void)h->deny(h, r, 400, (weir_str){NULL, 0}, weir_str_from("invalid_value"),
                      weir_str_from("user must be at most 128 bytes long."));
        return WEIR_DENY;
    }
    return h->req_set(h, r, WEIR_FIELD_USER, user) < 0 ? WEIR_FAIL : WEIR_CONTINUE;
}

static int on_body(const struct auth *a, weir_req *r)
{
    const struct state *s = a->host->req_state(a->host, r);
    if (!s->key) {
        return WEIR_CONTINUE;
    }
    return take_body_user(a, r);
}

static int on_phase(void *instance, weir_req *r, int phase)
{
    return phase == WEIR_PHASE_HEADERS ? on_headers(instance, r, 0) : on_body(instance, r);
}

static int on_resume(void *instance, weir_req *r, int phase, int rc, weir_str data)
{
    (void)phase;
    (void)rc;
    return on_headers(instance, r, auth_next_round(data));
}

static void on_complete(void *instance, weir_req *r, const weir_usage *usage)
{
    const struct auth *a = instance;
    struct state *s = a->host->req_state(a->host, r);
    (void)usage;
    auth_key_unref(s->key);
    s->key = NULL;
}

/* ---- the admin API ---- */

static bool is_suspended(const struct auth *a, const struct auth_key *key)
{
    static const char start[] = "{\"state\":\"suspended\"";
    weir_str json;
    return a->tenants->get(a->host, key->tenant, &json, NULL) == 0 && json.n >= sizeof(start) - 1 &&
           memcmp(json.p, start, sizeof(start) - 1) == 0;
}

/* The admin API takes keys in Authorization only, whatever header requests have them in. */
static int check_caller(struct auth *a, weir_req *r, uint32_t round)
{
    const weir_host *h = a->host;
    struct auth_key *key = NULL;
    enum auth_verdict verdict = auth_check(a, r, "authorization", round, &key);
    if (verdict == AUTH_WAITS) {
        return WEIR_SUSPEND;
    }
    if (verdict != AUTH_OK) {
        return auth_refuse(a, r, verdict);
    }
    int rc = WEIR_DENY;
    if (is_suspended(a, key)) {
        (void)h->deny(h, r, 403, (weir_str){NULL, 0}, weir_str_from("tenant_suspended"),
                      weir_str_from("This account is suspended; ask who runs this service."));
    } else {
        const weir_admin_caller who = {.struct_size = sizeof(who),
                                       .scopes = key->scopes,
                                       .tenant = key->tenant,
                                       .key_id = key->id};
        rc = a->admin->identify(h, r, &who) == 0 ? WEIR_CONTINUE : WEIR_FAIL;
    }
    auth_key_unref(key);
    return rc;
}

static int guard(void *arg, weir_req *r)
{
    return check_caller(arg, r, 0);
}

static int guard_resumed(void *arg, weir_req *r, int rc, weir_str data)
{
    (void)rc;
    return check_caller(arg, r, auth_next_round(data));
}

static const weir_policy policy = {
    .struct_size = sizeof(policy),
    .phases = WEIR_PHASE_BIT(WEIR_PHASE_HEADERS) | WEIR_PHASE_BIT(WEIR_PHASE_BODY),
    .req_state_size = sizeof(struct state),
    .instance_create = instance_create,
    .instance_destroy = instance_destroy,
    .on_phase = on_phase,
    .on_resume = on_resume,
    .on_complete = on_complete,
};

static const void *get_ext(const char *id)
{
    return strcmp(id, WEIR_EXT_POLICY) == 0 ? &policy : NULL;
}

static const char schema[] =
    "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
    "\"required\":{\"type\":\"boolean\",\"default\":true,\"description\":"
    "\"false: requests without a key pass, without tenant; a wrong key is refused all the same.\"},"
    "\"header\":{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9-]{1,64}$\","
    "\"default\":\"authorization\",\"description\":\"The header that carries the key.\"},"
    "\"on_store_loss\":{\"enum\":[\"deny\",\"allow\",\"local\"],\"default\":\"local\","
    "\"description\":\"Keys that were read before, while the store is away: local: good for "
    "store_loss_seconds; allow: good however long; deny: 503. Keys not read before: always 503.\"},"
    "\"store_loss_seconds\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":86400,"
    "\"default\":300},"
    "\"cache\":{\"type\":\"object\",\"additionalProperties\":false,\"default\":{},\"properties\":{"
    "\"keys\":{\"type\":\"integer\",\"minimum\":512,\"maximum\":1048576,\"default\":16384,"
    "\"description\":\"How many are kept.\"},"
    "\"seconds\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":3600,\"default\":30,"
    "\"description\":\"A key is read again after this; changes take effect at once anyhow.\"},"
    "\"unknown_seconds\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":60,\"default\":2,"
    "\"description\":\"How long an unknown key is not asked for again.\"}}},"
    "\"user_header\":{\"type\":\"object\",\"additionalProperties\":false,"
    "\"required\":[\"secret\"],\"description\":\"A header that names the end user and is signed; "
    "see docs/tenants.md.\",\"properties\":{"
    "\"name\":{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9-]{1,64}$\","
    "\"default\":\"x-weir-user\"},"
    "\"secret\":{\"type\":\"string\",\"minLength\":16,\"maxLength\":512,\"writeOnly\":true},"
    "\"max_age_seconds\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":86400,"
    "\"default\":300}}}}}";

static const char *const provides[] = {WEIR_EXT_POLICY, NULL};
static const char *const needs[] = {WEIR_EXT_TENANTS, NULL};
static const char *const wants[] = {WEIR_EXT_METRICS, WEIR_EXT_STORE, WEIR_EXT_ADMIN, NULL};
static const weir_plugin about = {
    WEIR_PLUGIN_HEAD,        .flags = WEIR_PLUGIN_UNLOADABLE,
    .name = "auth",          .version = "0.2.0",
    .license = "Apache-2.0", .description = "API keys to tenants.",
    .config_schema = schema, .needs = needs,
    .wants = wants,          .provides = provides,
    .get_ext = get_ext,
};

const weir_plugin *weir_plugin_entry_v1(void)
{
    return &about;
}
