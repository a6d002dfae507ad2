/* SPDX-License-Identifier: Apache-2.0 */
/* Host extension "weir.admin/1". */
#include <stdio.h>
#include <stdlib.h>
#include <yyjson.h>

#include "core/plugin/admin.h"
#include "core/plugin/plugins_internal.h"

static bool is_method(const char *s)
{
    static const char *const known[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(s, known[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* The path from the root, to be freed; NULL: it may not be, or no memory. */
static char *whole_path(const struct weir_plugin_instance *inst, const char *path)
{
    static const char root[] = "/admin/v1/";
    char text[WEIR_ADMIN_MAX_PATH_BYTES + 1];
    int n = *path == '/' ? snprintf(text, sizeof(text), "%s", path)
                         : snprintf(text, sizeof(text), "%splugins/%s/%s", root,
                                    inst->lib->about.name, path);
    bool good = n > 0 && (size_t)n < sizeof(text) && strncmp(text, root, sizeof(root) - 1) == 0 &&
                weir_admin_path_check(text) == 0;
    return good ? strdup(text) : NULL;
}

/* An object of JSON, so that the description stays one. */
static bool is_object(const char *json)
{
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    bool good = yyjson_is_obj(yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
    return good;
}

static int route(const weir_host *h, const weir_admin_route *wanted)
{
    struct weir_plugin_instance *inst = weir_host_instance(h);
    if (!inst->defining || !wanted || !WEIR_HAS(wanted, arg) || !wanted->method || !wanted->path ||
        !wanted->summary || !wanted->fn || !is_method(wanted->method) ||
        (wanted->openapi && !is_object(wanted->openapi))) {
        return WEIR_E_ARG;
    }
    if (inst->n_routes == WEIR_INSTANCE_MAX_ROUTES) {
        return WEIR_E_BUSY;
    }
    struct weir_instance_route r = {
        .scopes = wanted->scopes,
        .method = strdup(wanted->method),
        .path = whole_path(inst, wanted->path),
        .summary = strdup(wanted->summary),
        .openapi = wanted->openapi ? strdup(wanted->openapi) : NULL,
        .fn = wanted->fn,
        .on_resume = wanted->on_resume,
        .arg = wanted->arg,
    };
    if (!r.method || !r.path || !r.summary || (wanted->openapi && !r.openapi)) {
        weir_instance_route_finish(&r);
        return WEIR_E_ARG;
    }
    inst->routes[inst->n_routes++] = r;
    return 0;
}

void weir_instance_route_finish(struct weir_instance_route *r)
{
    free(r->method);
    free(r->path);
    free(r->summary);
    free(r->openapi);
}

static struct weir_plugin_admin *admin_of(const weir_host *h, weir_req *r)
{
    struct weir_plugin_admin *a = r ? weir_host_instance(h)->plugins->options.ops->admin(r) : NULL;
    return a && a->in_hook && a->instance == weir_host_instance(h) ? a : NULL;
}

static int param(const weir_host *h, weir_req *r, const char *name, weir_str *out)
{
    const struct weir_plugin_admin *a = admin_of(h, r);
    if (!a || !a->route || !name || !out) {
        return WEIR_E_ARG;
    }
    for (size_t i = 0; i < a->params.n; i++) {
        if (weir_str_is(a->params.items[i].name, name)) {
            *out = a->params.items[i].value;
            return 0;
        }
    }
    return WEIR_E_NOTFOUND;
}

static int query(const weir_host *h, weir_req *r, const char *name, weir_str *out)
{
    const struct weir_plugin_admin *a = admin_of(h, r);
    return a && name && out ? weir_admin_query_find(a->query, name, a->arena, out) : WEIR_E_ARG;
}

static int caller(const weir_host *h, weir_req *r, weir_admin_caller *out)
{
    const struct weir_plugin_admin *a = admin_of(h, r);
    if (!a || !out || !WEIR_HAS(out, key_id)) {
        return WEIR_E_ARG;
    }
    *out = a->caller;
    return 0;
}

static int guard(const weir_host *h, int (*fn)(void *arg, weir_req *r),
                 int (*on_resume)(void *arg, weir_req *r, int rc, weir_str data), void *arg)
{
    struct weir_plugin_instance *inst = weir_host_instance(h);
    if (!inst->defining || !fn) {
        return WEIR_E_ARG;
    }
    inst->guards = (struct weir_instance_guard){fn, on_resume, arg};
    return 0;
}

static int identify(const weir_host *h, weir_req *r, const weir_admin_caller *who)
{
    struct weir_plugin_admin *a = admin_of(h, r);
    if (!a || a->route || !who || !WEIR_HAS(who, key_id)) {
        return WEIR_E_ARG;
    }
    weir_str tenant = weir_arena_copy(a->arena, who->tenant);
    weir_str key_id = weir_arena_copy(a->arena, who->key_id);
    if (!tenant.p || !key_id.p) {
        return WEIR_E_NOMEM;
    }
    a->caller = (weir_admin_caller){sizeof(a->caller), who->scopes, tenant, key_id};
    a->identified = true;
    return 0;
}

void weir_instance_export_finish(struct weir_instance_export *e)
{
    free(e->collection);
    for (size_t i = 0; i < WEIR_INSTANCE_MAX_HIDDEN; i++) {
        free(e->hidden[i]);
    }
}

static int exports(const weir_host *h, const char *collection, const char *const *hidden)
{
    struct weir_plugin_instance *inst = weir_host_instance(h);
    if (!inst->defining || !collection) {
        return WEIR_E_ARG;
    }
    if (inst->n_exports == WEIR_INSTANCE_MAX_EXPORTS) {
        return WEIR_E_BUSY;
    }
    struct weir_instance_export e = {.collection = strdup(collection)};
    bool ok = e.collection != NULL;
    for (size_t i = 0; ok && hidden && hidden[i]; i++) {
        e.hidden[i] = i < WEIR_INSTANCE_MAX_HIDDEN ? strdup(hidden[i]) : NULL;
        ok = i < WEIR_INSTANCE_MAX_HIDDEN && e.hidden[i];
    }
    if (!ok) {
        weir_instance_export_finish(&e);
        return WEIR_E_ARG;
    }
    inst->exports[inst->n_exports++] = e;
    return 0;
}

const weir_ext_admin weir_host_admin = {
    .struct_size = sizeof(weir_ext_admin),
    .route = route,
    .param = param,
    .query = query,
    .caller = caller,
    .guard = guard,
    .identify = identify,
    .exports = exports,
};
