/* SPDX-License-Identifier: Apache-2.0 */
#include "key_op.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

static int deny(const struct auth *a, weir_req *r, int status, const char *code,
                const char *message)
{
    (void)a->host->deny(a->host, r, status, (weir_str){NULL, 0}, weir_str_from(code),
                        weir_str_from(message));
    return WEIR_DENY;
}

int key_op_no_tenant(const struct auth *a, weir_req *r, weir_str tenant)
{
    char message[200];
    (void)snprintf(message, sizeof(message), "There is no tenant '%.*s'.",
                   (int)(tenant.n < 100 ? tenant.n : 100), tenant.p);
    return deny(a, r, 404, "tenant_not_found", message);
}

static void destroy(struct key_op *op)
{
    const weir_host *h = op->auth->host;
    OPENSSL_cleanse(op->key_text, sizeof(op->key_text));
    free(op->record);
    free(op->body);
    free(op->if_match);
    h->free(h, op);
}

static char *copy(weir_str s)
{
    return strndup(s.p ? s.p : "", s.n);
}

/* The tenant of the path, or of the body for /admin/v1/keys. */
static weir_str tenant_of(const struct auth *a, weir_req *r, yyjson_doc *body)
{
    weir_str tenant;
    if (a->admin->param(a->host, r, "tenant", &tenant) == 0) {
        return tenant;
    }
    return auth_text(yyjson_obj_get(yyjson_doc_get_root(body), "tenant"));
}

static struct key_op *make(struct auth *a, weir_str body)
{
    struct key_op *op = a->host->alloc(a->host, sizeof(*op));
    if (op) {
        *op = (struct key_op){.auth = a};
        op->body = copy(body);
    }
    return op;
}

static bool read_caller(struct key_op *op, weir_req *r)
{
    weir_admin_caller who = {.struct_size = sizeof(who)};
    if (op->auth->admin->caller(op->auth->host, r, &who) < 0) {
        return false;
    }
    op->bound = !(who.scopes & WEIR_SCOPE_ADMIN);
    (void)snprintf(op->caller, sizeof(op->caller), who.key_id.n ? "%.*s/%.*s" : "none",
                   (int)who.tenant.n, who.tenant.p, (int)who.key_id.n, who.key_id.p);
    return true;
}

/* Fills in the names; false: there is no such tenant, or a key cannot have this id. */
static bool read_names(struct key_op *op, weir_req *r, weir_str tenant)
{
    const struct auth *a = op->auth;
    weir_admin_caller who = {.struct_size = sizeof(who)};
    weir_str id = {NULL, 0};
    bool own =
        a->admin->caller(a->host, r, &who) == 0 && (!op->bound || weir_str_eq(who.tenant, tenant));
    if (!own || tenant.n == 0 || tenant.n > AUTH_MAX_TENANT_BYTES ||
        a->tenants->get(a->host, tenant, NULL, NULL) < 0) {
        return false;
    }
    (void)snprintf(op->tenant, sizeof(op->tenant), "%.*s", (int)tenant.n, tenant.p);
    op->name.tenant = (weir_str){op->tenant, tenant.n};
    if (a->admin->param(a->host, r, "key", &id) == 0) {
        /* A longer one is none of ours: cut, it is not found either. */
        (void)snprintf(op->id, sizeof(op->id), "%.*s", (int)id.n,
                       id.n == AUTH_ID_BYTES ? id.p : "-");
        op->name.id = weir_str_from(op->id);
    }
    return true;
}

void key_op_set_id(struct key_op *op, const char *id)
{
    (void)snprintf(op->id, sizeof(op->id), "%s", id);
    op->name.id = weir_str_from(op->id);
}

/* The last step of beginning: nothing is left but to wait. */
static int suspend(struct key_op *op, weir_req *r, int verdict, struct key_op **ret_op)
{
    const struct auth *a = op->auth;
    op->ticket = verdict == WEIR_SUSPEND ? a->host->suspend(a->host, r, AUTH_STORE_TIMEOUT_MS) : 0;
    if (verdict == WEIR_SUSPEND && !op->ticket) {
        verdict = deny(a, r, 503, "out_of_memory", "No memory for this request now.");
    }
    if (verdict != WEIR_SUSPEND) {
        destroy(op);
        return verdict;
    }
    *ret_op = op;
    return WEIR_SUSPEND;
}

int key_op_begin_list(struct auth *a, weir_req *r, bool all, struct key_op **ret_op)
{
    struct key_op *op = make(a, (weir_str){NULL, 0});
    weir_admin_caller who = {.struct_size = sizeof(who)};
    weir_str tenant = {NULL, 0};
    if (!op || !op->body || !read_caller(op, r) || a->admin->caller(a->host, r, &who) < 0) {
        if (op) {
            destroy(op);
        }
        return deny(a, r, 503, "out_of_memory", "No memory for this request now.");
    }
    if (!all) {
        (void)a->admin->param(a->host, r, "tenant", &tenant);
    } else if (op->bound) {
        tenant = who.tenant;
    }
    bool known = (all && !op->bound) || read_names(op, r, tenant);
    return suspend(op, r, known ? WEIR_SUSPEND : key_op_no_tenant(a, r, tenant), ret_op);
}

int key_op_begin(struct auth *a, weir_req *r, bool change, struct key_op **ret_op)
{
    const weir_host *h = a->host;
    weir_str body = {NULL, 0}, if_match = {NULL, 0};
    (void)h->req_get(h, r, WEIR_FIELD_BODY, &body);
    struct key_op *op = make(a, body);
    if (!op || !op->body || !read_caller(op, r)) {
        if (op) {
            destroy(op);
        }
        return deny(a, r, 503, "out_of_memory", "No memory for this request now.");
    }
    yyjson_doc *doc = body.n ? yyjson_read(body.p, body.n, 0) : NULL;
    weir_str tenant = tenant_of(a, r, doc);
    bool known = read_names(op, r, tenant);
    int verdict = known ? WEIR_SUSPEND : key_op_no_tenant(a, r, tenant);
    yyjson_doc_free(doc);
    if (known && change && h->req_header(h, r, weir_str_from("if-match"), &if_match) < 0) {
        verdict = deny(a, r, 428, "if_match_required",
                       "Send If-Match with the ETag of what you want to change, or *.");
    }
    op->if_match = if_match.n ? copy(if_match) : NULL;
    return suspend(op, r, verdict, ret_op);
}

bool key_op_matches(const struct key_op *op, const char *etag)
{
    weir_str list = weir_str_from(op->if_match);
    while (list.n) {
        size_t n = 0;
        while (n < list.n && list.p[n] != ',') {
            n++;
        }
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
    return false;
}

static void set_location(const struct auth *a, weir_req *r, weir_str key)
{
    yyjson_doc *doc = yyjson_read(key.p, key.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    const char *tenant = yyjson_get_str(yyjson_obj_get(root, "tenant"));
    const char *id = yyjson_get_str(yyjson_obj_get(root, "id"));
    char text[200];
    int n = snprintf(text, sizeof(text), "/admin/v1/tenants/%s/keys/%s", tenant ? tenant : "",
                     id ? id : "");
    if (tenant && id && n > 0 && (size_t)n < sizeof(text)) {
        (void)a->host->set_header(a->host, r, weir_str_from("location"), weir_str_from(text));
    }
    yyjson_doc_free(doc);
}

/* The answer travels in the resume's data: "ETAG\nBODY", or "CODE\nMESSAGE" of an error. */
static void end(struct key_op *op, uint32_t status, const char *first, const char *rest)
{
    const weir_host *h = op->auth->host;
    size_t n_first = strlen(first), n_rest = strlen(rest);
    char *data = malloc(n_first + n_rest + 2);
    int rc = WEIR_E_NOMEM;
    if (data) {
        int n = snprintf(data, n_first + n_rest + 2, "%s\n%s", first, rest);
        rc = h->resume(h, op->ticket, (int)status, (weir_str){data, (size_t)n});
        OPENSSL_cleanse(data, n_first + n_rest + 2);
        free(data);
    }
    if (rc == WEIR_E_NOMEM || rc == WEIR_E_TOOBIG) {
        (void)h->resume(h, op->ticket, 500, weir_str_from("too_large\nThe answer is too large."));
    }
    destroy(op);
}

void key_op_answer(struct key_op *op, uint32_t status, const char *etag, const char *body)
{
    if (!body && status != 204) {
        key_op_fail(op, WEIR_E_NOMEM);
        return;
    }
    end(op, status, etag ? etag : "", body ? body : "");
}

void key_op_error(struct key_op *op, uint32_t status, const char *code, const char *message)
{
    end(op, status, code, message);
}

void key_op_fail(struct key_op *op, int rc)
{
    if (rc == WEIR_E_NOTFOUND) {
        key_op_error(op, 404, "key_not_found", "The tenant has no such key.");
    } else if (rc == WEIR_E_BUSY) {
        key_op_error(op, 412, "changed_meanwhile",
                     "It was changed meanwhile: read it again and repeat the change.");
    } else if (rc == WEIR_E_TIMEOUT) {
        key_op_error(op, 503, "store_timeout",
                     "The store did not answer in time; the change may have been made.");
    } else {
        key_op_error(op, 503, "store_unavailable", "The store cannot be used now.");
    }
}

int key_op_resumed(void *arg, weir_req *r, int rc, weir_str data)
{
    const struct auth *a = arg;
    const weir_host *h = a->host;
    const char *line = data.n ? memchr(data.p, '\n', data.n) : NULL;
    if (rc < 200 || !line) {
        return deny(a, r, 503, "store_timeout",
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
    if (rc == 201) {
        set_location(a, r, rest);
    }
    (void)h->set_header(h, r, weir_str_from("cache-control"), weir_str_from("no-store"));
    return h->respond(h, r, rc, weir_str_from("application/json"), rest);
}
