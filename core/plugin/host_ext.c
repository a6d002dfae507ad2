/* SPDX-License-Identifier: Apache-2.0 */
/* Host extensions "weir.admin/1" and "weir.tenants/1". */
#include <stdlib.h>

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

static int route(const weir_host *h, const char *method, const char *path,
                 int (*fn)(void *arg, weir_req *r), void *arg)
{
    struct weir_plugin_instance *inst = weir_host_instance(h);
    if (!inst->defining || !method || !path || !fn || !is_method(method) || strlen(path) > 256) {
        return WEIR_E_ARG;
    }
    if (inst->n_routes == WEIR_INSTANCE_MAX_ROUTES) {
        return WEIR_E_BUSY;
    }
    struct weir_instance_route r = {
        .method = strdup(method),
        .path = strdup(*path == '/' ? path + 1 : path),
        .fn = fn,
        .arg = arg,
    };
    if (!r.method || !r.path) {
        free(r.method);
        free(r.path);
        return WEIR_E_NOMEM;
    }
    inst->routes[inst->n_routes++] = r;
    return 0;
}

static weir_str config_json(const weir_host *h)
{
    return weir_str_from(weir_host_instance(h)->tenants_json);
}

const weir_ext_admin weir_host_admin = {
    .struct_size = sizeof(weir_ext_admin),
    .route = route,
};

const weir_ext_tenants weir_host_tenants = {
    .struct_size = sizeof(weir_ext_tenants),
    .config_json = config_json,
};
