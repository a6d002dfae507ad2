/* SPDX-License-Identifier: Apache-2.0 */
#include "routes.h"

#include "core/admin/call.h"
#include "core/request/endpoints.h"
#include "core/request/generate.h"
#include "core/request/request.h"

static const struct weir_route public_routes[] = {
    {"POST", WEIR_STR_INIT("/v1/chat/completions"), true,
     weir_generate_chat}, /* first: the most frequent */
    {"POST", WEIR_STR_INIT("/v1/completions"), true, weir_generate_completion},
    {"POST", WEIR_STR_INIT("/v1/embeddings"), true, weir_generate_embeddings},
    {"GET", WEIR_STR_INIT("/healthz/live"), false, weir_endpoint_live},
    {"GET", WEIR_STR_INIT("/healthz/ready"), false, weir_endpoint_ready},
    {"GET", WEIR_STR_INIT("/healthz/startup"), false, weir_endpoint_startup},
    {"GET", WEIR_STR_INIT("/v1/models"), true, weir_endpoint_models},
    {"GET", WEIR_STR_INIT("/v1/models/*"), true, weir_endpoint_model},
    {"POST", WEIR_STR_INIT("/tokenize"), true, weir_endpoint_tokenize},
    {"POST", WEIR_STR_INIT("/detokenize"), true, weir_endpoint_detokenize},
};

/* The admin listener: probes work when nothing else does, the rest is core/admin's. */
static const struct weir_route admin_routes[] = {
    {"GET", WEIR_STR_INIT("/healthz/live"), false, weir_endpoint_live},
    {"GET", WEIR_STR_INIT("/healthz/ready"), false, weir_endpoint_ready},
    {"GET", WEIR_STR_INIT("/healthz/startup"), false, weir_endpoint_startup},
    {"GET", WEIR_STR_INIT("/metrics"), false, weir_admin_run},
    {NULL, WEIR_STR_INIT("/admin"), false, weir_admin_run},
    {NULL, WEIR_STR_INIT("/admin/"), false, weir_admin_run},
    {NULL, WEIR_STR_INIT("/admin/*"), false, weir_admin_run},
};

const struct weir_routes weir_routes_admin = {admin_routes,
                                              sizeof(admin_routes) / sizeof(admin_routes[0])};

const struct weir_routes weir_routes_public = {public_routes,
                                               sizeof(public_routes) / sizeof(public_routes[0])};

static bool path_matches(const struct weir_route *route, weir_str path)
{
    size_t n = route->path.n - 1;
    if (route->path.p[n] == '*') {
        return path.n > n && memcmp(path.p, route->path.p, n) == 0;
    }
    return weir_str_eq(path, route->path);
}

const struct weir_route *weir_routes_find(const struct weir_routes *routes, weir_str method,
                                          weir_str path, uint32_t *ret_status)
{
    *ret_status = 404;
    for (size_t i = 0; i < routes->n; i++) {
        const struct weir_route *route = &routes->list[i];
        if (!path_matches(route, path)) {
            continue;
        }
        if (!route->method || weir_str_is(method, route->method) ||
            (weir_str_is(method, "HEAD") && strcmp(route->method, "GET") == 0)) {
            return route;
        }
        *ret_status = 405;
    }
    return NULL;
}

static bool has_route(const struct weir_routes *routes, weir_str path, const char *method)
{
    for (size_t i = 0; i < routes->n; i++) {
        if ((weir_str_is(path, "*") || path_matches(&routes->list[i], path)) &&
            (!method || !routes->list[i].method || strcmp(routes->list[i].method, method) == 0)) {
            return true;
        }
    }
    return false;
}

bool weir_routes_allow(const struct weir_routes *routes, weir_str path, struct weir_buf *ret_allow)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
    if (!has_route(routes, path, NULL)) {
        return false;
    }
    weir_buf_add_text(ret_allow, "OPTIONS");
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (has_route(routes, path, methods[i])) {
            weir_buf_add_text(ret_allow, i == 0 ? ", HEAD, " : ", ");
            weir_buf_add_text(ret_allow, methods[i]);
        }
    }
    return true;
}
