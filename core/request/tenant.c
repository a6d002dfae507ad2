/* SPDX-License-Identifier: Apache-2.0 */
#include "tenant.h"

#include "core/request/request.h"
#include "core/server/server.h"

static bool names(const struct weir_config_tenant *tenant, const char *model)
{
    for (size_t i = 0; i < tenant->n_models; i++) {
        if (strcmp(tenant->models[i]->name, model) == 0) {
            return true;
        }
    }
    return tenant->n_models == 0;
}

bool weir_tenant_allows(struct weir_request *r, const struct weir_model *model)
{
    if (r->tenant.n == 0) {
        return true;
    }
    struct weir_config *config = weir_server_config(weir_worker_server(r->worker));
    const struct weir_config_tenant *tenant = weir_config_tenant_find(config, r->tenant);
    bool allowed = !tenant || names(tenant, weir_model_name(model));
    weir_config_unref(config);
    return allowed;
}

void weir_tenant_choose_class(struct weir_request *r)
{
    if (r->class_given) {
        return;
    }
    r->class_rank = weir_model_class_rank(r->model);
    if (r->tenant.n == 0) {
        return;
    }
    struct weir_config *config = weir_server_config(weir_worker_server(r->worker));
    const struct weir_config_tenant *tenant = weir_config_tenant_find(config, r->tenant);
    if (tenant && tenant->has_class) {
        r->class_rank = (uint32_t)tenant->service_class;
    }
    weir_config_unref(config);
}
