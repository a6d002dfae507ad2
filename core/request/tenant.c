/* SPDX-License-Identifier: Apache-2.0 */
#include "tenant.h"

#include "core/request/answer.h"
#include "core/server/server.h"

static const struct weir_tenant *tenant_of(const struct weir_request *r)
{
    return weir_tenants_find(weir_worker_server(r->worker)->tenants, r->tenant);
}

bool weir_tenant_is_served(struct weir_request *r)
{
    const struct weir_tenant *tenant = tenant_of(r);
    if (!tenant || tenant->state == WEIR_TENANT_ACTIVE) {
        return true;
    }
    if (tenant->state == WEIR_TENANT_SUSPENDED) {
        weir_answer_error(r, 403, "", "tenant_suspended",
                          "This account is suspended; ask who runs this service.");
    } else {
        weir_answer_error(r, 401, "", "invalid_api_key", "Incorrect API key provided.");
    }
    return false;
}

bool weir_tenant_allows(struct weir_request *r, const struct weir_model *model)
{
    const struct weir_tenant *tenant = tenant_of(r);
    return !tenant || weir_tenant_may_use(tenant, weir_str_from(weir_model_name(model)));
}

void weir_tenant_choose_class(struct weir_request *r)
{
    if (r->class_given) {
        return;
    }
    const struct weir_tenant *tenant = tenant_of(r);
    r->class_rank = tenant && tenant->has_class ? (uint32_t)tenant->service_class
                                                : weir_model_class_rank(r->model);
}
