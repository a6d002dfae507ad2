/* SPDX-License-Identifier: Apache-2.0 */
/* The routes of policies: /admin/v1/tenants/{tenant}/policies and what is below.
 *
 * A version is written once and never changed. What runs is said by the head, a small record that
 * is changed by compare-and-set: its version is the ETag. After a change this replica reads the
 * head itself before it answers, and tells the others. */
#include <stdio.h>
#include <stdlib.h>
#include <yyjson.h>

#include "admin_op.h"
#include "admin_openapi.h"

enum { KEEP_VERSIONS = 20, MAX_TRIES = 5, MAX_COMMENT_BYTES = 200 };

static const weir_str whole = {NULL, 0}; /* the tenant of what belongs to the installation */

/* ---- changes of the head ---- */

static void change_synced(void *arg)
{
    struct admin_op *op = arg;
    char *body = admin_op_head_body(op);
    admin_op_answer(op, 200, true, body);
    free(body);
}

static void nothing(void *arg, const weir_store_result *result)
{
    (void)arg;
    (void)result;
}

static void tell(const struct admin_op *op)
{
    const struct lua_plugin *p = op->p;
    (void)p->store->publish(p->host, weir_str_from(RECORDS_HEADS), weir_str_from(op->tenant),
                            nothing, NULL);
}

static void head_written(void *arg, const weir_store_result *result)
{
    struct admin_op *op = arg;
    if (result->rc < 0) {
        admin_op_fail(op, result->rc);
        return;
    }
    op->head_version = (uint64_t)result->number;
    tell(op);
    records_sync(op->p->records, weir_str_from(op->tenant), change_synced, op);
}

static void write_head(struct admin_op *op, weir_store_done then)
{
    const struct lua_plugin *p = op->p;
    char json[HEAD_JSON_BYTES];
    int rc = p->store->put(p->host, whole, weir_str_from(RECORDS_HEADS), weir_str_from(op->tenant),
                           head_write(&op->head, json), op->head_version, then, op);
    if (rc < 0) {
        admin_op_fail(op, rc);
    }
}

static void head_found_for_change(void *arg, const weir_store_result *result)
{
    struct admin_op *op = arg;
    if (admin_op_read_head(op, result) && admin_op_matches(op) && op->change(op) == 0) {
        write_head(op, head_written);
    }
}

static void version_found_for_change(void *arg, const weir_store_result *result)
{
    struct admin_op *op = arg;
    if (result->rc < 0) {
        admin_op_fail(op, result->rc);
    } else {
        admin_op_find_head(op, head_found_for_change);
    }
}

static void remember(struct head *h, uint32_t number)
{
    if (h->n_history == HEAD_MAX_HISTORY) {
        memmove(h->history, h->history + 1, sizeof(h->history) - sizeof(h->history[0]));
        h->n_history--;
    }
    h->history[h->n_history++] = number;
}

static int activate(struct admin_op *op)
{
    struct head *h = &op->head;
    if (h->active != op->version) {
        remember(h, h->active);
        h->active = op->version;
    }
    if (h->canary == op->version) {
        h->canary = 0;
    }
    if (h->shadow == op->version) {
        h->shadow = 0;
    }
    return 0;
}

static int roll_back(struct admin_op *op)
{
    struct head *h = &op->head;
    if (h->n_history == 0) {
        admin_op_error(op, 409, "nothing_to_roll_back", "No other version was active before.");
        return -1;
    }
    h->active = h->history[--h->n_history];
    return 0;
}

static int set_canary(struct admin_op *op)
{
    op->head.canary = op->version;
    op->head.percent = op->percent;
    return 0;
}

static int set_shadow(struct admin_op *op)
{
    op->head.shadow = op->version;
    return 0;
}

static int clear_role(struct admin_op *op)
{
    struct head *h = &op->head;
    if (strcmp(op->role, "canary") == 0) {
        h->canary = 0;
    } else if (strcmp(op->role, "shadow") == 0) {
        h->shadow = 0;
    } else if (h->active) {
        remember(h, h->active);
        h->active = 0;
    }
    return 0;
}

static int change_to_version(struct lua_plugin *p, weir_req *r, int (*change)(struct admin_op *))
{
    struct admin_op *op;
    int rc = admin_op_begin(p, r, true, &op);
    if (rc == WEIR_SUSPEND) {
        op->change = change;
        admin_op_find_version(op, version_found_for_change);
    }
    return rc;
}

static int post_activate(void *arg, weir_req *r)
{
    return change_to_version(arg, r, activate);
}

static int post_shadow(void *arg, weir_req *r)
{
    return change_to_version(arg, r, set_shadow);
}

static int post_canary(void *arg, weir_req *r)
{
    struct admin_op *op;
    int rc = admin_op_begin(arg, r, true, &op);
    if (rc != WEIR_SUSPEND) {
        return rc;
    }
    yyjson_doc *doc = yyjson_read(op->body, strlen(op->body), 0);
    yyjson_val *percent = yyjson_obj_get(yyjson_doc_get_root(doc), "percent");
    op->percent = yyjson_get_num(percent);
    bool good = yyjson_is_num(percent) && op->percent > 0 && op->percent <= 100 &&
                yyjson_obj_size(yyjson_doc_get_root(doc)) == 1;
    yyjson_doc_free(doc);
    if (!good) {
        admin_op_error(op, 400, "invalid_value", "percent must be a number above 0, at most 100.");
        return WEIR_SUSPEND;
    }
    op->change = set_canary;
    admin_op_find_version(op, version_found_for_change);
    return WEIR_SUSPEND;
}

static int post_rollback(void *arg, weir_req *r)
{
    struct admin_op *op;
    int rc = admin_op_begin(arg, r, true, &op);
    if (rc == WEIR_SUSPEND) {
        op->change = roll_back;
        admin_op_find_head(op, head_found_for_change);
    }
    return rc;
}

/* ---- removing ---- */

static bool is_used(const struct head *h, uint32_t version)
{
    return version == h->active || version == h->canary || version == h->shadow;
}

static bool is_in_history(const struct head *h, uint32_t version)
{
    for (uint32_t i = 0; i < h->n_history; i++) {
        if (h->history[i] == version) {
            return true;
        }
    }
    return false;
}

static void forget(struct head *h, uint32_t version)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < h->n_history; i++) {
        if (h->history[i] != version) {
            h->history[n++] = h->history[i];
        }
    }
    h->n_history = n;
}

static void version_removed(void *arg, const weir_store_result *result)
{
    struct admin_op *op = arg;
    if (result->rc < 0 && result->rc != WEIR_E_NOTFOUND) {
        admin_op_fail(op, result->rc);
    } else {
        admin_op_answer(op, 204, true, NULL);
    }
}

static void head_written_for_removal(void *arg, const weir_store_result *result)
{
    struct admin_op *op = arg;
    const struct lua_plugin *p = op->p;
    char name[16];
    if (result->rc < 0) {
        admin_op_fail(op, result->rc);
        return;
    }
    op->head_version = (uint64_t)result->number;
    tell(op);
    head_version_name(op->version, name);
    int rc =
        p->store->put(p->host, weir_str_from(op->tenant), weir_str_from(RECORDS_VERSIONS),
                      weir_str_from(name), (weir_str){NULL, 0}, UINT64_MAX, version_removed, op);
    if (rc < 0) {
        admin_op_fail(op, rc);
    }
}

static void head_found_for_removal(void *arg, const weir_store_result *result)
{
    struct admin_op *op = arg;
    if (!admin_op_read_head(op, result) || !admin_op_matches(op)) {
        return;
    }
    if (is_used(&op->head, op->version)) {
        admin_op_error(op, 409, "policy_in_use", "This version runs: activate another one first.");
        return;
    }
    forget(&op->head, op->version);
    write_head(op, head_written_for_removal);
}

static void version_found_for_removal(void *arg, const weir_store_result *result)
{
    struct admin_op *op = arg;
    if (result->rc < 0) {
        admin_op_fail(op, result->rc);
    } else {
        admin_op_find_head(op, head_found_for_removal);
    }
}

/* A version, or the role that a version has: active, canary, shadow. */
static int delete_version(void *arg, weir_req *r)
{
    struct admin_op *op;
    int rc = admin_op_begin(arg, r, true, &op);
    if (rc != WEIR_SUSPEND) {
        return rc;
    }
    if (strcmp(op->role, "active") == 0 || strcmp(op->role, "canary") == 0 ||
        strcmp(op->role, "shadow") == 0) {
        op->change = clear_role;
        admin_op_find_head(op, head_found_for_change);
    } else {
        admin_op_find_version(op, version_found_for_removal);
    }
    return WEIR_SUSPEND;
}

/* ---- upload ---- */

static void find_head_for_upload(struct admin_op *op);

static void upload_written(void *arg, const weir_store_result *result)
{
    struct admin_op *op = arg;
    if (result->rc < 0) {
        admin_op_fail(op, result->rc);
        return;
    }
    yyjson_mut_doc *d = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *o = yyjson_mut_obj(d);
    yyjson_mut_doc_set_root(d, o);
    (void)yyjson_mut_obj_add_uint(d, o, "version", op->version);
    (void)yyjson_mut_obj_add_str(d, o, "comment", op->comment ? op->comment : "");
    (void)yyjson_mut_obj_add_uint(d, o, "bytes", strlen(op->source));
    char *body = yyjson_mut_write(d, 0, NULL);
    yyjson_mut_doc_free(d);
    admin_op_answer(op, 201, true, body);
    free(body);
}

static char *version_record(const struct admin_op *op)
{
    const weir_host *h = op->p->host;
    yyjson_mut_doc *d = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *o = yyjson_mut_obj(d);
    yyjson_mut_doc_set_root(d, o);
    (void)yyjson_mut_obj_add_str(d, o, "source", op->source);
    (void)yyjson_mut_obj_add_str(d, o, "comment", op->comment ? op->comment : "");
    (void)yyjson_mut_obj_add_uint(d, o, "created", h->wall_us(h) / 1000000);
    (void)yyjson_mut_obj_add_str(d, o, "created_by", op->caller);
    char *text = yyjson_mut_write(d, 0, NULL);
    yyjson_mut_doc_free(d);
    return text;
}

/* The number is ours now: nobody else writes this version. */
static void number_taken(void *arg, const weir_store_result *result)
{
    struct admin_op *op = arg;
    const struct lua_plugin *p = op->p;
    char name[16];
    if (result->rc == WEIR_E_BUSY && ++op->tries < MAX_TRIES) {
        find_head_for_upload(op); /* somebody was faster */
        return;
    }
    if (result->rc < 0) {
        admin_op_fail(op, result->rc);
        return;
    }
    op->head_version = (uint64_t)result->number;
    if (op->old) {
        head_version_name(op->old, name);
        (void)p->store->put(p->host, weir_str_from(op->tenant), weir_str_from(RECORDS_VERSIONS),
                            weir_str_from(name), (weir_str){NULL, 0}, UINT64_MAX, nothing, NULL);
    }
    head_version_name(op->version, name);
    char *record = version_record(op);
    int rc =
        record ? p->store->put(p->host, weir_str_from(op->tenant), weir_str_from(RECORDS_VERSIONS),
                               weir_str_from(name), weir_str_from(record), 0, upload_written, op)
               : WEIR_E_NOMEM;
    free(record);
    if (rc < 0) {
        admin_op_fail(op, rc);
    }
}

static void head_found_for_upload(void *arg, const weir_store_result *result)
{
    struct admin_op *op = arg;
    if (!admin_op_read_head(op, result)) {
        return;
    }
    op->version = op->head.next++;
    op->old = op->version > KEEP_VERSIONS ? op->version - KEEP_VERSIONS : 0;
    if (is_used(&op->head, op->old) || is_in_history(&op->head, op->old)) {
        op->old = 0; /* stays until it is deleted */
    }
    write_head(op, number_taken);
}

static void find_head_for_upload(struct admin_op *op)
{
    admin_op_find_head(op, head_found_for_upload);
}

/* Compiles and runs the top level, as each replica will. */
static bool compiles(const struct admin_op *op, char error[LUA_SANDBOX_ERROR_BYTES])
{
    struct lua_settings settings =
        lua_policies_settings(op->p->policies, weir_str_from(op->tenant));
    struct lua_version *v = NULL;
    int rc =
        lua_version_create(weir_str_from(op->source), "=policy", 1, &settings.limits, &v, error);
    lua_version_unref(&v);
    return rc == 0;
}

static bool read_upload(struct admin_op *op, char problem[LUA_SANDBOX_ERROR_BYTES])
{
    yyjson_doc *doc = yyjson_read(op->body, strlen(op->body), 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *source = yyjson_obj_get(root, "source"), *comment = yyjson_obj_get(root, "comment");
    size_t n = yyjson_get_len(source);
    bool good = yyjson_is_str(source) && (!comment || yyjson_is_str(comment)) &&
                yyjson_obj_size(root) == 1u + (comment != NULL);
    if (!good || n > LUA_SANDBOX_MAX_SCRIPT_BYTES || strlen(yyjson_get_str(source)) != n ||
        yyjson_get_len(comment) > MAX_COMMENT_BYTES) {
        (void)snprintf(problem, LUA_SANDBOX_ERROR_BYTES,
                       "The body must be {\"source\": TEXT, \"comment\": TEXT}, the source at most "
                       "64 KiB and without NUL, the comment at most 200 bytes.");
        good = false;
    } else {
        op->source = strdup(yyjson_get_str(source));
        op->comment = comment ? strdup(yyjson_get_str(comment)) : NULL;
        good = op->source != NULL;
    }
    yyjson_doc_free(doc);
    return good;
}

static int post_version(void *arg, weir_req *r)
{
    struct admin_op *op;
    char problem[LUA_SANDBOX_ERROR_BYTES] = "out of memory";
    int rc = admin_op_begin(arg, r, false, &op);
    if (rc != WEIR_SUSPEND) {
        return rc;
    }
    if (!read_upload(op, problem)) {
        admin_op_error(op, 400, "invalid_value", problem);
    } else if (!compiles(op, problem)) {
        admin_op_error(op, 400, "policy_invalid", problem); /* "policy:3: ..." */
    } else {
        find_head_for_upload(op);
    }
    return WEIR_SUSPEND;
}

int admin_define(struct lua_plugin *p)
{
    static const char all[] = "/admin/v1/tenants/{tenant}/policies";
    static const char one[] = "/admin/v1/tenants/{tenant}/policies/{version}";
    const struct {
        const char *method, *path, *more, *summary, *openapi;
        int (*fn)(void *arg, weir_req *r);
    } routes[] = {
        {"GET", all, "", "List a tenant's policy versions, and which run", POLICY_OPENAPI_LIST,
         admin_get_versions},
        {"POST", all, "", "Upload a version; it does not run yet", POLICY_OPENAPI_UPLOAD,
         post_version},
        {"POST", all, "/rollback", "Run again what was active before", POLICY_OPENAPI_CHANGE,
         post_rollback},
        {"GET", one, "", "Show a version with its source", POLICY_OPENAPI_SHOW, admin_get_version},
        {"DELETE", one, "", "Remove a version; active, canary or shadow: end that role",
         POLICY_OPENAPI_CHANGE, delete_version},
        {"POST", one, "/activate", "Make a version the active one", POLICY_OPENAPI_CHANGE,
         post_activate},
        {"POST", one, "/canary", "Run a version for a share of the users", POLICY_OPENAPI_CANARY,
         post_canary},
        {"POST", one, "/shadow", "Run a version beside the active one, for its counts only",
         POLICY_OPENAPI_CHANGE, post_shadow},
    };
    int rc = p->admin->exports(p->host, RECORDS_VERSIONS, NULL);
    for (size_t i = 0; rc == 0 && i < sizeof(routes) / sizeof(routes[0]); i++) {
        char path[128];
        (void)snprintf(path, sizeof(path), "%s%s", routes[i].path, routes[i].more);
        const weir_admin_route route = {.struct_size = sizeof(route),
                                        .scopes = WEIR_SCOPE_TENANT_ADMIN,
                                        .method = routes[i].method,
                                        .path = path,
                                        .summary = routes[i].summary,
                                        .openapi = routes[i].openapi,
                                        .fn = routes[i].fn,
                                        .on_resume = admin_op_resumed,
                                        .arg = p};
        rc = p->admin->route(p->host, &route);
    }
    return rc;
}
