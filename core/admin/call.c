/* SPDX-License-Identifier: Apache-2.0 */
#include "call.h"

#include <stdlib.h>

#include "base/log.h"
#include "core/request/answer.h"
#include "core/server/server.h"

const struct weir_admin_table *const *weir_admin_tables(size_t *ret_n)
{
    static const struct weir_admin_table *const tables[] = {&weir_admin_system_routes,
                                                            &weir_admin_tenants_routes};
    *ret_n = sizeof(tables) / sizeof(tables[0]);
    return tables;
}

static struct weir_admin_call *call_of(struct weir_plugin_admin *a)
{
    return (struct weir_admin_call *)(void *)a;
}

/* ---- the route ---- */

static weir_str method_of(const struct weir_request *r)
{
    return weir_str_is(r->method, "HEAD") ? weir_str_from("GET") : r->method;
}

/* "/admin/" is "/admin". */
static weir_str path_of(const struct weir_request *r)
{
    bool slash = r->path.n > 1 && r->path.p[r->path.n - 1] == '/';
    return (weir_str){r->path.p, r->path.n - slash};
}

/* Among the host's own routes; the result is as weir_plugin_admin_find()'s. */
static int find_row(struct weir_admin_call *c, uint32_t *ret_scopes)
{
    struct weir_request *r = c->request;
    size_t n_tables;
    const struct weir_admin_table *const *tables = weir_admin_tables(&n_tables);
    int rc = WEIR_E_NOTFOUND;
    for (size_t t = 0; t < n_tables; t++) {
        for (size_t i = 0; i < tables[t]->n; i++) {
            const struct weir_admin_route_row *row = &tables[t]->rows[i];
            struct weir_admin_params params;
            int matched = weir_admin_path_match(row->path, path_of(r), &r->arena, &params);
            if (matched == 0 && weir_str_is(method_of(r), row->method)) {
                c->row = row;
                c->plugin.params = params;
                *ret_scopes = row->scopes;
                return 0;
            }
            rc = matched == 0 ? WEIR_E_UNSUPPORTED : matched != WEIR_E_NOTFOUND ? matched : rc;
        }
    }
    return rc;
}

static int find_route(struct weir_admin_call *c, uint32_t *ret_scopes)
{
    int mine = find_row(c, ret_scopes);
    if (mine == 0) {
        return 0;
    }
    int theirs =
        weir_plugin_admin_find(&c->plugin, method_of(c->request), path_of(c->request), ret_scopes);
    return theirs == WEIR_E_NOTFOUND ? mine : theirs;
}

static void answer_unknown(struct weir_request *r)
{
    weir_answer_error(r, 404, "", "unknown_url", "Unknown request URL: %.*s %.*s.",
                      (int)r->method.n, r->method.p, (int)r->path.n, r->path.p);
}

void weir_admin_answer_no_tenant(struct weir_request *r, weir_str name)
{
    weir_answer_error(r, 404, "tenant", "tenant_not_found", "There is no tenant '%.*s'.",
                      (int)(name.n < 100 ? name.n : 100), name.p);
}

static void add_method(struct weir_buf *b, const char *method)
{
    if (!strstr(b->len ? b->data : "", method)) {
        weir_buf_printf(b, "%s%s", b->len ? ", " : "", method);
    }
}

struct allow {
    struct weir_request *request;
    struct weir_buf methods;
};

static void allow_plugin_route(void *arg, const struct weir_plugin_route_view *view)
{
    struct allow *a = arg;
    struct weir_admin_params params;
    if (weir_admin_path_match(view->path, path_of(a->request), &a->request->arena, &params) == 0) {
        add_method(&a->methods, view->method);
    }
}

/* OPTIONS, or a method that the path does not have. */
static void answer_wrong_method(struct weir_admin_call *c)
{
    struct allow a = {.request = c->request};
    weir_buf_init(&a.methods, 256);
    weir_buf_add_text(&a.methods, "OPTIONS");
    size_t n_tables;
    const struct weir_admin_table *const *tables = weir_admin_tables(&n_tables);
    for (size_t t = 0; t < n_tables; t++) {
        for (size_t i = 0; i < tables[t]->n; i++) {
            const struct weir_admin_route_row *row = &tables[t]->rows[i];
            const struct weir_plugin_route_view view = {.method = row->method, .path = row->path};
            allow_plugin_route(&a, &view);
        }
    }
    weir_plugin_chain_each_route(c->plugin.chain, allow_plugin_route, &a);
    if (strstr(a.methods.data, "GET")) {
        weir_buf_add_text(&a.methods, ", HEAD");
    }
    (void)weir_http_add_header(c->request->ex, weir_str_from("Allow"), weir_buf_view(&a.methods));
    if (weir_str_is(c->request->method, "OPTIONS")) {
        weir_buf_finish(&a.methods);
        weir_answer_empty(c->request, 204);
        return;
    }
    weir_answer_error(c->request, 405, "", "method_not_allowed",
                      "Method %.*s is not allowed for %.*s.", (int)c->request->method.n,
                      c->request->method.p, (int)c->request->path.n, c->request->path.p);
    weir_buf_finish(&a.methods);
}

/* False: answered. */
static bool may_call(struct weir_admin_call *c, uint32_t scopes)
{
    const weir_admin_caller *who = &c->plugin.caller;
    if (who->scopes & WEIR_SCOPE_ADMIN) {
        return true;
    }
    if (!(who->scopes & scopes)) {
        answer_unknown(c->request);
        return false;
    }
    weir_str tenant = weir_admin_param(c->request, "tenant");
    if (tenant.n && !weir_str_eq(tenant, who->tenant)) {
        weir_admin_answer_no_tenant(c->request, tenant);
        return false;
    }
    return true;
}

static void plugin_ended(struct weir_admin_call *c, enum weir_plugin_admin_outcome outcome)
{
    if (outcome == WEIR_PLUGIN_ADMIN_ANSWERED) {
        weir_answer_plugin(c->request);
    } else if (outcome != WEIR_PLUGIN_ADMIN_SUSPENDED) {
        weir_answer_error(c->request, 500, "", "plugin_failed", "The plugin's route failed.");
    }
}

static bool has_json_type(struct weir_request *r)
{
    weir_str type = weir_http_header(r->ex, "content-type");
    const char *end = type.n ? memchr(type.p, ';', type.n) : NULL;
    type.n = end ? (size_t)(end - type.p) : type.n;
    while (type.n && type.p[type.n - 1] == ' ') {
        type.n--;
    }
    return weir_str_is(type, "application/json") ||
           (weir_str_is(r->method, "PATCH") && weir_str_is(type, "application/merge-patch+json"));
}

static void call_route(struct weir_admin_call *c)
{
    struct weir_request *r = c->request;
    uint32_t scopes = 0;
    int rc = find_route(c, &scopes);
    if (rc == WEIR_E_UNSUPPORTED && (c->plugin.caller.scopes & WEIR_SCOPE_ADMIN)) {
        answer_wrong_method(c);
    } else if (rc == WEIR_E_FORMAT) {
        weir_answer_error(r, 400, "", "invalid_url", "The URL has a malformed percent escape.");
    } else if (rc < 0) {
        answer_unknown(r);
    } else if (!may_call(c, scopes)) {
        return;
    } else if (weir_http_body(r->ex).n && !has_json_type(r)) {
        weir_answer_error(r, 415, "", "unsupported_media_type",
                          "The body must be application/json.");
    } else if (c->row) {
        c->row->run(r);
    } else {
        plugin_ended(c, weir_plugin_admin_call(&c->plugin));
    }
}

/* ---- who calls ---- */

static void answer_no_key(struct weir_request *r, const char *message)
{
    (void)weir_http_add_header(r->ex, weir_str_from("www-authenticate"), weir_str_from("Bearer"));
    weir_answer_error(r, 401, "", "invalid_api_key", "%s", message);
}

static void guard_ended(struct weir_admin_call *c, enum weir_plugin_admin_outcome outcome)
{
    switch (outcome) {
    case WEIR_PLUGIN_ADMIN_DONE: call_route(c); return;
    case WEIR_PLUGIN_ADMIN_ANSWERED: weir_answer_plugin(c->request); return;
    case WEIR_PLUGIN_ADMIN_SUSPENDED: return;
    case WEIR_PLUGIN_ADMIN_FAILED:
        weir_answer_error(c->request, 503, "", "policy_unavailable", "Keys cannot be checked now.");
        return;
    }
}

static void plugin_resumed(struct weir_plugin_admin *a, enum weir_plugin_admin_outcome outcome)
{
    struct weir_admin_call *c = call_of(a);
    if (a->route) {
        plugin_ended(c, outcome);
    } else {
        guard_ended(c, outcome);
    }
}

static void identify(struct weir_admin_call *c)
{
    struct weir_request *r = c->request;
    bool has_credentials = weir_http_header(r->ex, "authorization").n > 0;
    bool must = weir_worker_server(r->worker)->admin_needs_key;
    if (!has_credentials && !must) {
        c->plugin.caller = (weir_admin_caller){.struct_size = sizeof(weir_admin_caller),
                                               .scopes = WEIR_SCOPE_ADMIN};
        call_route(c);
    } else if (!weir_plugin_chain_has_guard(c->plugin.chain)) {
        answer_no_key(r, "The admin API asks for a key here, and no plugin that checks keys is "
                         "configured: add auth to plugins.");
    } else {
        guard_ended(c, weir_plugin_admin_guard(&c->plugin));
    }
}

void weir_admin_run(struct weir_request *r)
{
    if (weir_http_header(r->ex, "origin").n) {
        weir_answer_error(r, 403, "", "cross_origin", "The admin API does not serve web pages.");
        return;
    }
    struct weir_admin_call *c = weir_arena_alloc(&r->arena, sizeof(*c));
    if (!c) {
        weir_answer_error(r, 503, "", "out_of_memory", "No memory for this request now.");
        return;
    }
    struct weir_plugin_chain *chain = weir_worker_chain(r->worker);
    weir_plugin_admin_init(&c->plugin, chain, (weir_req *)(void *)r,
                           weir_worker_plugin_loop(r->worker), &r->arena, plugin_resumed);
    c->request = r;
    c->plugin.query = weir_arena_copy(&r->arena, weir_http_query(r->ex));
    r->admin = c;
    identify(c);
}

void weir_admin_abandon(struct weir_request *r)
{
    if (r->admin) {
        weir_plugin_admin_abandon(&r->admin->plugin);
    }
}

static void add_word(struct weir_buf *b, const char *name, weir_str value)
{
    weir_buf_printf(b, " %s=", name);
    weir_buf_add_json_str(b, value);
}

static void write_audit(const struct weir_admin_call *c)
{
    const struct weir_request *r = c->request;
    const weir_admin_caller *who = &c->plugin.caller;
    struct weir_buf b;
    weir_buf_init(&b, 2048);
    weir_buf_printf(&b, "%.*s %.*s status=%u", (int)r->method.n, r->method.p,
                    (int)(r->path.n < 600 ? r->path.n : 600), r->path.p, r->status);
    add_word(&b, "key", who->key_id.n ? who->key_id : weir_str_from("none"));
    if (who->tenant.n) {
        add_word(&b, "tenant", who->tenant);
    }
    if (c->location.n) {
        add_word(&b, "made", c->location);
    }
    add_word(&b, "peer", r->peer);
    weir_log(WEIR_LOG_INFO, "audit", r->id, "%s", b.failed ? "a change" : b.data);
    weir_buf_finish(&b);
}

void weir_admin_finish(struct weir_request *r)
{
    if (!r->admin) {
        return;
    }
    if (!weir_str_is(r->method, "GET") && !weir_str_is(r->method, "HEAD") &&
        !weir_str_is(r->method, "OPTIONS")) {
        write_audit(r->admin);
    }
    weir_plugin_admin_finish(&r->admin->plugin);
    r->admin = NULL;
}

/* ---- what route functions ask for ---- */

weir_str weir_admin_param(const struct weir_request *r, const char *name)
{
    const struct weir_admin_params *p = &r->admin->plugin.params;
    for (size_t i = 0; i < p->n; i++) {
        if (weir_str_is(p->items[i].name, name)) {
            return p->items[i].value;
        }
    }
    return (weir_str){NULL, 0};
}

int64_t weir_admin_query_number(struct weir_request *r, const char *name, int64_t low, int64_t high,
                                int64_t fallback)
{
    weir_str value;
    int rc = weir_admin_query_find(r->admin->plugin.query, name, &r->arena, &value);
    if (rc == WEIR_E_NOTFOUND) {
        return fallback;
    }
    char *end = NULL;
    long long n = rc == 0 && value.n > 0 && value.n < 18 && value.p[0] >= '0' && value.p[0] <= '9'
                      ? strtoll(value.p, &end, 10)
                      : -1;
    if (!end || *end || n < low || n > high) {
        weir_answer_error(r, 400, name, "invalid_value", "%s must be a number from %lld to %lld.",
                          name, (long long)low, (long long)high);
        return -1;
    }
    return n;
}

void weir_admin_set_location(struct weir_request *r, weir_str location)
{
    r->admin->location = weir_arena_copy(&r->arena, location);
    if (r->ex) {
        (void)weir_http_add_header(r->ex, weir_str_from("Location"), location);
    }
}

bool weir_admin_is_bound(const struct weir_request *r, weir_str *ret_tenant)
{
    const weir_admin_caller *who = &r->admin->plugin.caller;
    *ret_tenant = who->tenant;
    return !(who->scopes & WEIR_SCOPE_ADMIN);
}
