/* SPDX-License-Identifier: Apache-2.0 */
/* The routes of keys: /admin/v1/tenants/{tenant}/keys and /admin/v1/keys.
 *
 * Each is an operation that outlives the hook: it suspends the request, asks the store once or
 * twice, tells the other replicas, and resumes the request with the answer. A client that leaves
 * does not stop it. */
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

#include "key_body.h"
#include "key_list.h"
#include "key_op.h"
#include "key_openapi.h"

enum {
    DEFAULT_GRACE_S = 24 * 3600,
    MAX_GRACE_S = 90 * 24 * 3600,
    TENANT_SCOPES = WEIR_SCOPE_INFERENCE | WEIR_SCOPE_TENANT_ADMIN, /* what a tenant may give */
};

/* ---- after the store's answer ---- */

static void publish_ended(void *arg, const weir_store_result *result)
{
    struct key_op *op = arg;
    (void)result; /* a message that is lost: the others read the key again by themselves */
    if (op->status == 204) {
        key_op_answer(op, 204, NULL, NULL);
        return;
    }
    char *body =
        auth_body_show(op->name, weir_str_from(op->record), *op->key_text ? op->key_text : NULL);
    char etag[40];
    (void)snprintf(etag, sizeof(etag), "\"%llu\"", (unsigned long long)op->version);
    key_op_answer(op, op->status, etag, body);
    free(body);
}

static void written(void *arg, const weir_store_result *result)
{
    struct key_op *op = arg;
    struct auth *a = op->auth;
    if (result->rc < 0) {
        key_op_fail(op, result->rc);
        return;
    }
    op->version = (uint64_t)result->number;
    auth_cache_drop(a->cache, op->name); /* here at once; elsewhere by the message */
    char message[AUTH_MAX_TENANT_BYTES + AUTH_ID_BYTES + 2];
    (void)snprintf(message, sizeof(message), "%.*s/%.*s", (int)op->name.tenant.n, op->name.tenant.p,
                   (int)op->name.id.n, op->name.id.p);
    if (a->store->publish(a->host, weir_str_from(AUTH_CHANNEL), weir_str_from(message),
                          publish_ended, op) < 0) {
        publish_ended(op, result);
    }
}

static void put(struct key_op *op, uint64_t version)
{
    struct auth *a = op->auth;
    int rc = a->store->put(a->host, op->name.tenant, weir_str_from(AUTH_COLLECTION), op->name.id,
                           weir_str_from(op->record), version, written, op);
    if (rc < 0) {
        key_op_fail(op, rc);
    }
}

/* Is this record what the caller may see and has seen? False: answered. */
static bool may_change(struct key_op *op, const weir_store_result *result)
{
    char etag[40];
    if (result->rc < 0) {
        key_op_fail(op, result->rc);
        return false;
    }
    if (op->bound && (auth_body_scopes(result->value) & ~(uint32_t)TENANT_SCOPES)) {
        key_op_fail(op, WEIR_E_NOTFOUND); /* the operator's key: not theirs to know */
        return false;
    }
    (void)snprintf(etag, sizeof(etag), "\"%llu\"", (unsigned long long)result->number);
    if (op->if_match && !key_op_matches(op, etag)) {
        key_op_error(op, 412, "changed_meanwhile",
                     "It was changed meanwhile: read it again and repeat the change.");
        return false;
    }
    return true;
}

static void shown(void *arg, const weir_store_result *result)
{
    struct key_op *op = arg;
    char etag[40];
    if (may_change(op, result)) {
        char *body = auth_body_show(op->name, result->value, NULL);
        (void)snprintf(etag, sizeof(etag), "\"%llu\"", (unsigned long long)result->number);
        key_op_answer(op, 200, etag, body);
        free(body);
    }
}

static void found_for_revoke(void *arg, const weir_store_result *result)
{
    struct key_op *op = arg;
    if (may_change(op, result)) {
        op->record = strdup("");
        put(op, (uint64_t)result->number);
    }
}

static void found_for_patch(void *arg, const weir_store_result *result)
{
    struct key_op *op = arg;
    char problem[AUTH_PROBLEM_BYTES] = "";
    if (!may_change(op, result)) {
        return;
    }
    op->record =
        auth_body_patch(op->auth, op->name.tenant, result->value, weir_str_from(op->body), problem);
    if (!op->record) {
        key_op_error(op, 400, "invalid_value", *problem ? problem : "The key cannot be so.");
    } else if (op->bound &&
               (auth_body_scopes(weir_str_from(op->record)) & ~(uint32_t)TENANT_SCOPES)) {
        key_op_error(op, 403, "insufficient_scope", "This key cannot give those scopes.");
    } else {
        put(op, (uint64_t)result->number);
    }
}

static void found_for_rotate(void *arg, const weir_store_result *result)
{
    struct key_op *op = arg;
    const weir_host *h = op->auth->host;
    unsigned char digest[AUTH_DIGEST_BYTES];
    char id[AUTH_ID_BYTES + 1];
    if (!may_change(op, result)) {
        return;
    }
    (void)snprintf(id, sizeof(id), "%.*s", (int)op->name.id.n, op->name.id.p);
    uint64_t now_us = h->wall_us(h);
    if (auth_key_make(op->name.tenant, id, op->key_text) == 0) {
        auth_digest(weir_str_from(op->key_text), digest);
        op->record = auth_body_rotate(result->value, digest, now_us, now_us + op->grace_us);
    }
    if (op->record) {
        put(op, (uint64_t)result->number);
    } else {
        key_op_fail(op, WEIR_E_NOMEM);
    }
}

/* ---- routes ---- */

/* Begins an operation on the key that the path names, by reading its record. */
static int on_record(struct auth *a, weir_req *r, bool change, uint32_t status,
                     weir_store_done then)
{
    struct key_op *op = NULL;
    int rc = key_op_begin(a, r, change, &op);
    if (rc != WEIR_SUSPEND) {
        return rc;
    }
    op->status = status;
    rc = a->store->find(a->host, op->name.tenant, weir_str_from(AUTH_COLLECTION), op->name.id, then,
                        op);
    if (rc < 0) {
        key_op_fail(op, rc);
    }
    return WEIR_SUSPEND;
}

static const struct auth_key *configured(const struct auth *a, weir_req *r)
{
    weir_str tenant, id;
    if (a->admin->param(a->host, r, "tenant", &tenant) < 0 ||
        a->admin->param(a->host, r, "key", &id) < 0) {
        return NULL;
    }
    for (uint32_t i = 0; i < auth_keys_count(a->keys); i++) {
        const struct auth_key *key = auth_keys_at(a->keys, i);
        if (weir_str_eq(key->tenant, tenant) && weir_str_eq(key->id, id)) {
            return key;
        }
    }
    return NULL;
}

static int refuse_configured(const struct auth *a, weir_req *r)
{
    (void)a->host->deny(
        a->host, r, 409, (weir_str){NULL, 0}, weir_str_from("key_is_configured"),
        weir_str_from("This key stands in the configuration file: change it there."));
    return WEIR_DENY;
}

/* May the caller see a configured key? Tenants do not see the operator's. */
static bool sees(const struct auth *a, weir_req *r, const struct auth_key *key)
{
    weir_admin_caller who = {.struct_size = sizeof(who)};
    return a->admin->caller(a->host, r, &who) == 0 &&
           ((who.scopes & WEIR_SCOPE_ADMIN) || !(key->scopes & ~(uint32_t)TENANT_SCOPES));
}

static int show_key(void *arg, weir_req *r)
{
    struct auth *a = arg;
    const struct auth_key *key = configured(a, r);
    if (!key || !sees(a, r, key)) {
        return on_record(a, r, false, 200, shown);
    }
    char *body = auth_body_show_configured(key);
    int rc = body ? a->host->respond(a->host, r, 200, weir_str_from("application/json"),
                                     weir_str_from(body))
                  : WEIR_E_NOMEM;
    free(body);
    return rc;
}

static int change_key(struct auth *a, weir_req *r, uint32_t status, weir_store_done then)
{
    const struct auth_key *key = configured(a, r);
    return key && sees(a, r, key) ? refuse_configured(a, r) : on_record(a, r, true, status, then);
}

static int patch_key(void *arg, weir_req *r)
{
    return change_key(arg, r, 200, found_for_patch);
}

static int revoke_key(void *arg, weir_req *r)
{
    return change_key(arg, r, 204, found_for_revoke);
}

/* {"grace_seconds": 3600}; an empty body: a day. */
static bool read_grace(const struct auth *a, weir_req *r, uint64_t *ret_us)
{
    weir_str body;
    *ret_us = (uint64_t)DEFAULT_GRACE_S * 1000000;
    if (a->host->req_get(a->host, r, WEIR_FIELD_BODY, &body) < 0) {
        return true;
    }
    yyjson_doc *doc = yyjson_read(body.p, body.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *grace = yyjson_obj_get(root, "grace_seconds");
    bool good = yyjson_is_obj(root) && yyjson_obj_size(root) == (grace != NULL) &&
                (!grace || (yyjson_is_uint(grace) && yyjson_get_uint(grace) <= MAX_GRACE_S));
    if (good && grace) {
        *ret_us = yyjson_get_uint(grace) * 1000000;
    }
    yyjson_doc_free(doc);
    return good;
}

static int rotate_key(void *arg, weir_req *r)
{
    struct auth *a = arg;
    const struct auth_key *key = configured(a, r);
    struct key_op *op = NULL;
    uint64_t grace_us;
    if (key && sees(a, r, key)) {
        return refuse_configured(a, r);
    }
    if (!read_grace(a, r, &grace_us)) {
        (void)a->host->deny(a->host, r, 400, (weir_str){NULL, 0}, weir_str_from("invalid_value"),
                            weir_str_from("grace_seconds must be a number from 0 to 7776000."));
        return WEIR_DENY;
    }
    int rc = key_op_begin(a, r, true, &op);
    if (rc != WEIR_SUSPEND) {
        return rc;
    }
    op->status = 200;
    op->grace_us = grace_us;
    rc = a->store->find(a->host, op->name.tenant, weir_str_from(AUTH_COLLECTION), op->name.id,
                        found_for_rotate, op);
    if (rc < 0) {
        key_op_fail(op, rc);
    }
    return WEIR_SUSPEND;
}

/* A fresh secret and the record that keeps its hash. */
static bool make_key(struct key_op *op, char problem[AUTH_PROBLEM_BYTES])
{
    unsigned char digest[AUTH_DIGEST_BYTES];
    char id[AUTH_ID_BYTES + 1];
    if (auth_key_make_id(id) < 0) {
        return false;
    }
    key_op_set_id(op, id);
    if (auth_key_make(op->name.tenant, id, op->key_text) < 0) {
        return false;
    }
    auth_digest(weir_str_from(op->key_text), digest);
    op->record = auth_body_create(op->auth, op->name.tenant, weir_str_from(op->body),
                                  weir_str_from(op->caller), digest, problem);
    return op->record != NULL;
}

static int create_key(void *arg, weir_req *r)
{
    struct auth *a = arg;
    struct key_op *op = NULL;
    char problem[AUTH_PROBLEM_BYTES] = "";
    int rc = key_op_begin(a, r, false, &op);
    if (rc != WEIR_SUSPEND) {
        return rc;
    }
    op->status = 201;
    if (op->bound && (auth_body_scopes(weir_str_from(op->body)) & ~(uint32_t)TENANT_SCOPES)) {
        key_op_error(op, 403, "insufficient_scope", "This key cannot give those scopes.");
    } else if (!make_key(op, problem)) {
        key_op_error(op, *problem ? 400 : 503, *problem ? "invalid_value" : "out_of_memory",
                     *problem ? problem : "No key can be made now.");
    } else {
        put(op, 0);
    }
    return WEIR_SUSPEND;
}

int auth_key_api_define(struct auth *a)
{
    static const char *const hidden[] = {"sha256", "previous", NULL};
    const struct {
        const char *method, *path, *summary, *openapi;
        int (*fn)(void *arg, weir_req *r);
    } routes[] = {
        {"GET", "/admin/v1/keys", "List the keys of all tenants", KEY_OPENAPI_LIST, key_list_all},
        {"POST", "/admin/v1/keys", "Make a key; the body names the tenant", KEY_OPENAPI_CREATE_FOR,
         create_key},
        {"GET", "/admin/v1/tenants/{tenant}/keys", "List a tenant's keys", KEY_OPENAPI_LIST,
         key_list_tenant},
        {"POST", "/admin/v1/tenants/{tenant}/keys", "Make a key; the answer shows it once",
         KEY_OPENAPI_CREATE, create_key},
        {"GET", "/admin/v1/tenants/{tenant}/keys/{key}", "Show a key, without its secret",
         KEY_OPENAPI_READ, show_key},
        {"PATCH", "/admin/v1/tenants/{tenant}/keys/{key}", "Change a key by a JSON merge patch",
         KEY_OPENAPI_PATCH, patch_key},
        {"DELETE", "/admin/v1/tenants/{tenant}/keys/{key}", "Revoke a key", KEY_OPENAPI_REVOKE,
         revoke_key},
        {"POST", "/admin/v1/tenants/{tenant}/keys/{key}/rotate",
         "Give a key a new secret; the old one is good for a while", KEY_OPENAPI_ROTATE,
         rotate_key},
    };
    int rc = a->admin->exports(a->host, AUTH_COLLECTION, hidden);
    for (size_t i = 0; rc == 0 && i < sizeof(routes) / sizeof(routes[0]); i++) {
        const weir_admin_route route = {.struct_size = sizeof(route),
                                        .scopes = WEIR_SCOPE_TENANT_ADMIN,
                                        .method = routes[i].method,
                                        .path = routes[i].path,
                                        .summary = routes[i].summary,
                                        .openapi = routes[i].openapi,
                                        .fn = routes[i].fn,
                                        .on_resume = key_op_resumed,
                                        .arg = a};
        rc = a->admin->route(a->host, &route);
    }
    return rc;
}
