/* SPDX-License-Identifier: Apache-2.0 */
/* /admin/v1/tenants: list, make, read, change, suspend, resume, delete. */
#include <stdlib.h>

#include "core/admin/call.h"
#include "core/admin/tenant_body.h"
#include "core/admin/tenant_export.h"
#include "core/admin/tenant_openapi.h"
#include "core/request/answer.h"
#include "core/server/server.h"
#include "core/tenants/tenant_records.h"

enum { MAX_PAGE_BYTES = 16 * 1024 * 1024, PAGE_TENANTS = 100, MAX_PAGE_TENANTS = 1000 };

static struct weir_server *server_of(struct weir_request *r)
{
    return weir_worker_server(r->worker);
}

/* A change that is under way; in the request's arena, which the hold keeps. */
struct change {
    struct weir_request *request;
    weir_str name;
    uint32_t status; /* of success */
    char *record;    /* to be written; freed with the change */
    bool retried;
};

static void answer_tenant(struct weir_request *r, uint32_t status, const struct weir_tenant *t)
{
    char etag[WEIR_ETAG_BYTES];
    struct weir_buf b;
    weir_tenant_body_etag(t, etag);
    weir_buf_init(&b, MAX_PAGE_BYTES);
    weir_tenant_body_write(t, &b);
    if (r->ex) {
        (void)weir_http_add_header(r->ex, weir_str_from("ETag"), weir_str_from(etag));
    }
    if (b.failed) {
        weir_answer_error(r, 503, "", "out_of_memory", "No memory for this request now.");
    } else {
        weir_answer_json(r, status, weir_buf_view(&b));
    }
    weir_buf_finish(&b);
}

/* What a caller can see of this name; NULL: answered with 404. */
static const struct weir_tenant *visible(struct weir_request *r, weir_str name)
{
    const struct weir_tenant *t = weir_tenants_find(server_of(r)->tenants, name);
    if (!t || t->state == WEIR_TENANT_DELETING) {
        weir_admin_answer_no_tenant(r, name);
        return NULL;
    }
    return t;
}

static void answer_store_failure(struct weir_request *r, int rc)
{
    if (rc == WEIR_E_BUSY) {
        weir_answer_error(r, 412, "", "changed_meanwhile",
                          "It was changed meanwhile: read it again and repeat the change.");
    } else if (rc == WEIR_E_TIMEOUT) {
        weir_answer_error(r, 503, "", "store_timeout",
                          "The store did not answer in time; the change may have been made.");
    } else {
        weir_answer_error(r, 503, "", "store_unavailable",
                          "The store cannot be reached; nothing was changed.");
    }
}

static struct change *begin(struct weir_request *r, weir_str name, uint32_t status, char *record)
{
    struct change *c = weir_arena_alloc(&r->arena, sizeof(*c));
    weir_str copy = weir_arena_copy(&r->arena, name);
    if (!c || !copy.p) {
        free(record);
        weir_answer_error(r, 503, "", "out_of_memory", "No memory for this request now.");
        return NULL;
    }
    *c = (struct change){.request = r, .name = copy, .status = status, .record = record};
    weir_request_hold(r, WEIR_HOLD_ADMIN);
    return c;
}

static void end(struct change *c)
{
    free(c->record);
    c->record = NULL;
    weir_request_drop(c->request, WEIR_HOLD_ADMIN);
}

static void changed(void *arg, int rc, uint64_t number)
{
    (void)number;
    struct change *c = arg;
    struct weir_request *r = c->request;
    const struct weir_tenant *t = weir_tenants_find(server_of(r)->tenants, c->name);
    if (rc < 0) {
        answer_store_failure(r, rc);
    } else if (!t) { /* somebody else deleted it in between */
        weir_admin_answer_no_tenant(r, c->name);
    } else {
        answer_tenant(r, c->status, t);
    }
    end(c);
}

static void put(struct change *c, uint64_t number, weir_tenant_records_done done)
{
    weir_tenant_records_put(server_of(c->request)->records, c->name, weir_str_from(c->record),
                            number, done, c);
}

/* ---- routes ---- */

static void list_tenants(struct weir_request *r);

static void show_tenant(struct weir_request *r)
{
    const struct weir_tenant *t = visible(r, weir_admin_param(r, "tenant"));
    if (t) {
        answer_tenant(r, 200, t);
    }
}

static void answer_exists(struct weir_request *r, weir_str name)
{
    weir_answer_error(r, 409, "name", "tenant_exists", "There is a tenant '%.*s' already.",
                      (int)name.n, name.p);
}

static void created(void *arg, int rc, uint64_t number)
{
    struct change *c = arg;
    struct weir_request *r = c->request;
    if (rc == WEIR_E_BUSY && number && !c->retried &&
        !weir_tenants_find(server_of(r)->tenants, c->name)) {
        /* Remains: the state of a tenant that left the configuration. */
        c->retried = true;
        put(c, number, created);
        return;
    }
    if (rc == WEIR_E_BUSY) {
        answer_exists(r, c->name);
        end(c);
        return;
    }
    if (rc == 0) {
        weir_admin_set_location(
            r, weir_arena_printf(&r->arena, "/admin/v1/tenants/%.*s", (int)c->name.n, c->name.p));
    }
    changed(c, rc, number);
}

static void create_tenant(struct weir_request *r)
{
    yyjson_doc *body = weir_tenant_body_parse(r);
    if (!body) {
        return;
    }
    yyjson_val *root = yyjson_doc_get_root(body);
    yyjson_val *given = yyjson_obj_get(root, "name");
    weir_str name = {yyjson_get_str(given), yyjson_get_len(given)};
    char *record = NULL;
    if (!yyjson_is_str(given) || !weir_tenant_name_is_valid(name)) {
        weir_answer_error(r, 400, "name", "invalid_value",
                          "name must be 1 to 64 letters, digits, dots, dashes and underscores, "
                          "the first a letter or digit.");
    } else if (weir_tenants_find(server_of(r)->tenants, name)) {
        answer_exists(r, name);
    } else if (weir_tenants_count(server_of(r)->tenants) >= WEIR_TENANTS_MAX) {
        weir_answer_error(r, 409, "", "too_many_tenants", "There are %d tenants already.",
                          WEIR_TENANTS_MAX);
    } else {
        record = weir_tenant_body_record(r, name, root, NULL);
    }
    struct change *c = record ? begin(r, name, 201, record) : NULL;
    yyjson_doc_free(body);
    if (c) {
        put(c, 0, created);
    }
}

/* The tenant that a change is about, with If-Match satisfied; NULL: answered. */
static const struct weir_tenant *to_change(struct weir_request *r, bool of_api_only)
{
    const struct weir_tenant *t = visible(r, weir_admin_param(r, "tenant"));
    char etag[WEIR_ETAG_BYTES];
    if (!t) {
        return NULL;
    }
    weir_tenant_body_etag(t, etag);
    if (!weir_etag_matches(r, etag)) {
        return NULL;
    }
    if (of_api_only && t->entry.n) {
        weir_answer_error(r, 409, "tenant", "tenant_is_configured",
                          "This tenant stands in the configuration file: change it there.");
        return NULL;
    }
    return t;
}

static void write_change(struct weir_request *r, const struct weir_tenant *t, char *record)
{
    uint64_t number = t->record_number;
    struct change *c = record ? begin(r, t->name, 200, record) : NULL;
    if (c) {
        put(c, number, changed);
    }
}

static void replace_tenant(struct weir_request *r)
{
    const struct weir_tenant *t = to_change(r, true);
    yyjson_doc *body = t ? weir_tenant_body_parse(r) : NULL;
    if (body) {
        write_change(r, t, weir_tenant_body_record(r, t->name, yyjson_doc_get_root(body), t));
        yyjson_doc_free(body);
    }
}

static void patch_tenant(struct weir_request *r)
{
    const struct weir_tenant *t = to_change(r, true);
    yyjson_doc *body = t ? weir_tenant_body_parse(r) : NULL;
    if (!body) {
        return;
    }
    yyjson_doc *now = yyjson_read(t->json.p, t->json.n, 0);
    yyjson_mut_doc *merged = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root =
        yyjson_merge_patch(merged, yyjson_doc_get_root(now), yyjson_doc_get_root(body));
    yyjson_mut_doc_set_root(merged, root);
    yyjson_doc *entry = root ? yyjson_mut_doc_imut_copy(merged, NULL) : NULL;
    if (entry) {
        write_change(r, t, weir_tenant_body_record(r, t->name, yyjson_doc_get_root(entry), t));
    } else {
        weir_answer_error(r, 503, "", "out_of_memory", "No memory for this request now.");
    }
    yyjson_doc_free(entry);
    yyjson_mut_doc_free(merged);
    yyjson_doc_free(now);
    yyjson_doc_free(body);
}

static void set_state(struct weir_request *r, enum weir_tenant_state state)
{
    const struct weir_tenant *t = to_change(r, false);
    if (!t) {
        return;
    }
    if (t->state == state) {
        answer_tenant(r, 200, t);
        return;
    }
    char *record = weir_tenant_body_restate(t, state);
    if (!record) {
        weir_answer_error(r, 503, "", "out_of_memory", "No memory for this request now.");
        return;
    }
    write_change(r, t, record);
}

static void suspend_tenant(struct weir_request *r)
{
    set_state(r, WEIR_TENANT_SUSPENDED);
}

static void resumed(void *arg, int rc, uint64_t number)
{
    struct change *c = arg;
    struct weir_request *r = c->request;
    const struct weir_tenant *t = weir_tenants_find(server_of(r)->tenants, c->name);
    if (rc == 0 && t && t->state == WEIR_TENANT_SUSPENDED) {
        weir_answer_error(r, 409, "tenant", "tenant_is_configured",
                          "The configuration file suspends this tenant: change it there.");
        end(c);
        return;
    }
    changed(c, rc, number);
}

static void resume_tenant(struct weir_request *r)
{
    const struct weir_tenant *t = to_change(r, false);
    if (!t) {
        return;
    }
    if (t->state == WEIR_TENANT_ACTIVE) {
        answer_tenant(r, 200, t);
        return;
    }
    uint64_t number = t->record_number;
    char *record = weir_tenant_body_restate(t, WEIR_TENANT_ACTIVE);
    struct change *c = record ? begin(r, t->name, 200, record) : NULL;
    if (c) {
        put(c, number, resumed);
    } else if (!record) {
        weir_answer_error(r, 503, "", "out_of_memory", "No memory for this request now.");
    }
}

static void erased(void *arg, int rc, uint64_t number)
{
    (void)number;
    struct change *c = arg;
    if (rc < 0) {
        answer_store_failure(c->request, rc);
    } else {
        weir_answer_text(c->request, 204, "application/json", (weir_str){"", 0});
    }
    end(c);
}

/* First its requests are refused everywhere, then what it has is erased, then its name is free. */
static void marked(void *arg, int rc, uint64_t number)
{
    (void)number;
    struct change *c = arg;
    if (rc < 0) {
        answer_store_failure(c->request, rc);
        end(c);
        return;
    }
    weir_tenant_records_erase(server_of(c->request)->records, c->name, erased, c);
}

static void delete_tenant(struct weir_request *r)
{
    weir_str name = weir_admin_param(r, "tenant");
    const struct weir_tenant *t = weir_tenants_find(server_of(r)->tenants, name);
    if (t && t->state == WEIR_TENANT_DELETING) { /* one that stopped half-way goes on */
        struct change *c = begin(r, t->name, 204, NULL);
        if (c) {
            marked(c, 0, 0);
        }
        return;
    }
    t = to_change(r, true);
    if (!t) {
        return;
    }
    uint64_t number = t->record_number;
    char *record = weir_tenant_body_restate(t, WEIR_TENANT_DELETING);
    struct change *c = record ? begin(r, t->name, 204, record) : NULL;
    if (c) {
        put(c, number, marked);
    } else if (!record) {
        weir_answer_error(r, 503, "", "out_of_memory", "No memory for this request now.");
    }
}

/* ---- the list ---- */

struct listing {
    weir_str after, only;             /* only: the one that the caller may see; empty: all */
    const struct weir_tenant **found; /* [n] */
    size_t n;
};

static int order(weir_str a, weir_str b)
{
    int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

static void consider(void *arg, const struct weir_tenant *t)
{
    struct listing *l = arg;
    bool wanted = t->state != WEIR_TENANT_DELETING && t->state != WEIR_TENANT_ABSENT &&
                  (l->after.n == 0 || order(t->name, l->after) > 0) &&
                  (l->only.n == 0 || weir_str_eq(t->name, l->only));
    if (wanted) {
        l->found[l->n++] = t;
    }
}

static int by_name(const void *a, const void *b)
{
    const struct weir_tenant *const *x = a, *const *y = b;
    return order((*x)->name, (*y)->name);
}

static void answer_page(struct weir_request *r, const struct listing *l, size_t limit)
{
    struct weir_buf b;
    size_t n = l->n < limit ? l->n : limit;
    weir_buf_init(&b, MAX_PAGE_BYTES);
    weir_buf_add_text(&b, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < n; i++) {
        weir_buf_add_text(&b, i ? "," : "");
        weir_tenant_body_write(l->found[i], &b);
    }
    weir_buf_printf(&b, "],\"has_more\":%s,\"next\":", l->n > n ? "true" : "false");
    if (l->n > n) {
        weir_buf_add_json_str(&b, l->found[n - 1]->name);
    } else {
        weir_buf_add_text(&b, "null");
    }
    weir_buf_add_char(&b, '}');
    if (b.failed) {
        weir_answer_error(r, 400, "limit", "too_large", "The page is too large: lower limit.");
    } else {
        weir_answer_json(r, 200, weir_buf_view(&b));
    }
    weir_buf_finish(&b);
}

static void list_tenants(struct weir_request *r)
{
    struct listing l = {.n = 0};
    int64_t limit = weir_admin_query_number(r, "limit", 1, MAX_PAGE_TENANTS, PAGE_TENANTS);
    if (limit < 0) {
        return;
    }
    (void)weir_admin_query_find(r->admin->plugin.query, "after", &r->arena, &l.after);
    if (!weir_admin_is_bound(r, &l.only)) {
        l.only = (weir_str){NULL, 0};
    }
    const struct weir_tenants *tenants = server_of(r)->tenants;
    l.found = calloc(weir_tenants_count(tenants) + 1, sizeof(l.found[0]));
    if (!l.found) {
        weir_answer_error(r, 503, "", "out_of_memory", "No memory for this request now.");
        return;
    }
    weir_tenants_each(tenants, consider, &l);
    qsort(l.found, l.n, sizeof(l.found[0]), by_name);
    answer_page(r, &l, (size_t)limit);
    free(l.found);
}

static const struct weir_admin_route_row rows[] = {
    {"GET", "/admin/v1/tenants", WEIR_SCOPE_TENANT_ADMIN, "List tenants", WEIR_OPENAPI_TENANT_LIST,
     list_tenants},
    {"POST", "/admin/v1/tenants", 0, "Make a tenant", WEIR_OPENAPI_TENANT_CREATE, create_tenant},
    {"GET", "/admin/v1/tenants/{tenant}", WEIR_SCOPE_TENANT_ADMIN, "Show a tenant",
     WEIR_OPENAPI_TENANT_READ, show_tenant},
    {"PUT", "/admin/v1/tenants/{tenant}", 0, "Replace what a tenant has",
     WEIR_OPENAPI_TENANT_REPLACE, replace_tenant},
    {"PATCH", "/admin/v1/tenants/{tenant}", 0, "Change a tenant by a JSON merge patch",
     WEIR_OPENAPI_TENANT_PATCH, patch_tenant},
    {"DELETE", "/admin/v1/tenants/{tenant}", 0, "Delete a tenant and all it has but the ledger",
     WEIR_OPENAPI_TENANT_DELETE, delete_tenant},
    {"POST", "/admin/v1/tenants/{tenant}/suspend", 0, "Refuse a tenant's requests",
     WEIR_OPENAPI_TENANT_STATE, suspend_tenant},
    {"POST", "/admin/v1/tenants/{tenant}/resume", 0, "Serve a tenant's requests again",
     WEIR_OPENAPI_TENANT_STATE, resume_tenant},
    {"GET", "/admin/v1/tenants/{tenant}/export", WEIR_SCOPE_TENANT_ADMIN,
     "Everything the store has of a tenant but its logs", WEIR_OPENAPI_TENANT_EXPORT,
     weir_tenant_export},
};

const struct weir_admin_table weir_admin_tenants_routes = {rows, sizeof(rows) / sizeof(rows[0])};
