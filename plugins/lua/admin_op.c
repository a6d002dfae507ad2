/* SPDX-License-Identifier: Apache-2.0 */
#include "admin_op.h"

#include <stdio.h>
#include <stdlib.h>
#include <yyjson.h>

enum { TIMEOUT_MS = 10000 };

static int deny(const struct lua_plugin *p, weir_req *r, int status, const char *code,
                const char *message)
{
    (void)p->host->deny(p->host, r, status, (weir_str){NULL, 0}, weir_str_from(code),
                        weir_str_from(message));
    return WEIR_DENY;
}

static void destroy(struct admin_op *op)
{
    free(op->if_match);
    free(op->body);
    free(op->source);
    free(op->comment);
    free(op->list);
    free(op);
}

static char *copy(weir_str s)
{
    return strndup(s.p ? s.p : "", s.n);
}

static void read_caller(struct admin_op *op, weir_req *r)
{
    const struct lua_plugin *p = op->p;
    weir_admin_caller who = {.struct_size = sizeof(who)};
    (void)p->admin->caller(p->host, r, &who);
    (void)snprintf(op->caller, sizeof(op->caller), who.key_id.n ? "%.*s/%.*s" : "none",
                   (int)who.tenant.n, who.tenant.p, (int)who.key_id.n, who.key_id.p);
}

/* The path's names. False: there is no such tenant. */
static bool read_path(struct admin_op *op, weir_req *r)
{
    const struct lua_plugin *p = op->p;
    weir_str tenant, version;
    if (p->admin->param(p->host, r, "tenant", &tenant) < 0 || tenant.n > LUA_MAX_TENANT_BYTES ||
        p->tenants->get(p->host, tenant, NULL, NULL) < 0) {
        return false;
    }
    memcpy(op->tenant, tenant.p, tenant.n);
    if (p->admin->param(p->host, r, "version", &version) == 0 && version.n < sizeof(op->role)) {
        memcpy(op->role, version.p, version.n);
        char *end;
        unsigned long number = strtoul(op->role, &end, 10);
        op->version = *op->role >= '1' && *op->role <= '9' && *end == '\0' && number <= UINT32_MAX
                          ? (uint32_t)number
                          : 0;
    }
    return true;
}

int admin_op_begin(struct lua_plugin *p, weir_req *r, bool change, struct admin_op **ret_op)
{
    const weir_host *h = p->host;
    weir_str body = {NULL, 0}, if_match = {NULL, 0};
    struct admin_op *op = calloc(1, sizeof(*op));
    if (!op) {
        return deny(p, r, 503, "out_of_memory", "No memory for this request now.");
    }
    op->p = p;
    (void)h->req_get(h, r, WEIR_FIELD_BODY, &body);
    op->body = copy(body);
    read_caller(op, r);
    int verdict = WEIR_SUSPEND;
    if (!read_path(op, r)) {
        verdict = deny(p, r, 404, "tenant_not_found", "There is no such tenant.");
    } else if (change && h->req_header(h, r, weir_str_from("if-match"), &if_match) < 0) {
        verdict = deny(p, r, 428, "if_match_required",
                       "Send If-Match with the ETag of the tenant's policies, or *.");
    }
    op->if_match = if_match.n ? copy(if_match) : NULL;
    op->ticket = verdict == WEIR_SUSPEND && op->body ? h->suspend(h, r, TIMEOUT_MS) : 0;
    if (verdict == WEIR_SUSPEND && !op->ticket) {
        verdict = deny(p, r, 503, "out_of_memory", "No memory for this request now.");
    }
    if (verdict != WEIR_SUSPEND) {
        destroy(op);
        return verdict;
    }
    *ret_op = op;
    return WEIR_SUSPEND;
}

bool admin_op_matches(struct admin_op *op)
{
    char etag[40];
    (void)snprintf(etag, sizeof(etag), "\"%llu\"", (unsigned long long)op->head_version);
    weir_str list = weir_str_from(op->if_match);
    while (list.n) {
        size_t n = strcspn(list.p, ",");
        weir_str one = {list.p, n};
        list = (weir_str){list.p + n + (n < list.n), list.n - n - (n < list.n)};
        while (one.n && *one.p == ' ') {
            one = (weir_str){one.p + 1, one.n - 1};
        }
        while (one.n && one.p[one.n - 1] == ' ') {
            one.n--;
        }
        if (weir_str_is(one, "*") || weir_str_is(one, etag)) {
            return true;
        }
    }
    admin_op_error(op, 412, "changed_meanwhile",
                   "It was changed meanwhile: read it again and repeat the change.");
    return false;
}

/* The answer travels in the resume's data: "ETAG\nBODY", or "CODE\nMESSAGE" of an error. */
static void end(struct admin_op *op, uint32_t status, const char *first, const char *rest)
{
    const weir_host *h = op->p->host;
    size_t n = strlen(first) + strlen(rest) + 2;
    char *data = malloc(n);
    int rc = WEIR_E_NOMEM;
    if (data) {
        (void)snprintf(data, n, "%s\n%s", first, rest);
        rc = h->resume(h, op->ticket, (int)status, (weir_str){data, n - 1});
        free(data);
    }
    if (rc == WEIR_E_NOMEM || rc == WEIR_E_TOOBIG) {
        (void)h->resume(h, op->ticket, 500, weir_str_from("too_large\nThe answer is too large."));
    }
    destroy(op);
}

void admin_op_answer(struct admin_op *op, uint32_t status, bool with_etag, const char *body)
{
    char etag[40] = "";
    if (!body && status != 204) {
        admin_op_fail(op, WEIR_E_NOMEM);
        return;
    }
    if (with_etag) {
        (void)snprintf(etag, sizeof(etag), "\"%llu\"", (unsigned long long)op->head_version);
    }
    end(op, status, etag, body ? body : "");
}

void admin_op_error(struct admin_op *op, uint32_t status, const char *code, const char *message)
{
    end(op, status, code, message);
}

void admin_op_fail(struct admin_op *op, int rc)
{
    if (rc == WEIR_E_NOTFOUND) {
        admin_op_error(op, 404, "policy_not_found", "The tenant has no such version.");
    } else if (rc == WEIR_E_BUSY) {
        admin_op_error(op, 412, "changed_meanwhile",
                       "It was changed meanwhile: read it again and repeat the change.");
    } else if (rc == WEIR_E_TIMEOUT) {
        admin_op_error(op, 503, "store_timeout",
                       "The store did not answer in time; the change may have been made.");
    } else {
        admin_op_error(op, 503, "store_unavailable", "The store cannot be used now.");
    }
}

int admin_op_resumed(void *plugin, weir_req *r, int rc, weir_str data)
{
    const struct lua_plugin *p = plugin;
    const weir_host *h = p->host;
    const char *line = data.n ? memchr(data.p, '\n', data.n) : NULL;
    if (rc < 200 || !line) {
        return deny(p, r, 503, "store_timeout",
                    "The store did not answer in time; the change may have been made.");
    }
    weir_str first = {data.p, (size_t)(line - data.p)};
    weir_str rest = {line + 1, data.n - first.n - 1};
    if (rc >= 400) {
        (void)h->deny(h, r, rc, (weir_str){NULL, 0}, first, rest);
        return WEIR_DENY;
    }
    if (first.n) {
        (void)h->set_header(h, r, weir_str_from("etag"), first);
    }
    (void)h->set_header(h, r, weir_str_from("cache-control"), weir_str_from("no-store"));
    return h->respond(h, r, rc, weir_str_from("application/json"), rest);
}

/* ---- the head and versions ---- */

static void add_number(yyjson_mut_doc *d, yyjson_mut_val *o, const char *key, uint32_t number)
{
    if (number) {
        (void)yyjson_mut_obj_add_uint(d, o, key, number);
    } else {
        (void)yyjson_mut_obj_add_null(d, o, key);
    }
}

static void add_head(yyjson_mut_doc *d, yyjson_mut_val *o, const char *tenant, const struct head *h)
{
    (void)yyjson_mut_obj_add_strcpy(d, o, "tenant", tenant);
    add_number(d, o, "active", h->active);
    add_number(d, o, "canary", h->canary);
    (void)yyjson_mut_obj_add_real(d, o, "percent", h->canary ? h->percent : 0);
    add_number(d, o, "shadow", h->shadow);
    yyjson_mut_val *history = yyjson_mut_obj_add_arr(d, o, "history");
    for (uint32_t i = 0; i < h->n_history; i++) {
        (void)yyjson_mut_arr_add_uint(d, history, h->history[i]);
    }
}

char *admin_op_head_body(const struct admin_op *op)
{
    yyjson_mut_doc *d = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *o = yyjson_mut_obj(d);
    yyjson_mut_doc_set_root(d, o);
    add_head(d, o, op->tenant, &op->head);
    char *text = yyjson_mut_write(d, 0, NULL);
    yyjson_mut_doc_free(d);
    return text;
}

bool admin_op_read_head(struct admin_op *op, const weir_store_result *result)
{
    if (result->rc < 0 && result->rc != WEIR_E_NOTFOUND) {
        admin_op_fail(op, result->rc);
        return false;
    }
    head_read(result->rc < 0 ? (weir_str){NULL, 0} : result->value, &op->head);
    op->head_version = result->rc < 0 ? 0 : (uint64_t)result->number;
    return true;
}

void admin_op_find_head(struct admin_op *op, weir_store_done then)
{
    const struct lua_plugin *p = op->p;
    int rc = p->store->find(p->host, (weir_str){NULL, 0}, weir_str_from(RECORDS_HEADS),
                            weir_str_from(op->tenant), then, op);
    if (rc < 0) {
        admin_op_fail(op, rc);
    }
}

void admin_op_find_version(struct admin_op *op, weir_store_done then)
{
    const struct lua_plugin *p = op->p;
    char name[16];
    head_version_name(op->version, name);
    int rc = op->version
                 ? p->store->find(p->host, weir_str_from(op->tenant),
                                  weir_str_from(RECORDS_VERSIONS), weir_str_from(name), then, op)
                 : WEIR_E_NOTFOUND;
    if (rc < 0) {
        admin_op_fail(op, rc);
    }
}
