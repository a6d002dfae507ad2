/* SPDX-License-Identifier: Apache-2.0 */
#include "tenant.h"

#include <xxhash.h>

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

static bool has_line(weir_str text, weir_str line)
{
    for (const char *at = text.p, *end = text.p + text.n; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        if (weir_str_eq((weir_str){at, (size_t)(stop - at)}, line)) {
            return true;
        }
        at = stop + 1;
    }
    return false;
}

bool weir_tenant_allows(struct weir_request *r, const struct weir_model *model)
{
    const struct weir_tenant *tenant = tenant_of(r);
    weir_str name = weir_model_name_str(model);
    return (!tenant || weir_tenant_may_use(tenant, name)) &&
           (r->key_models.n == 0 || has_line(r->key_models, name));
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

/* Where others could be kept from waiting, nobody fills the whole queue. */
static uint32_t usual_queue(const struct weir_request *r)
{
    if (weir_tenants_count(weir_worker_server(r->worker)->tenants) < 2) {
        return 0;
    }
    struct weir_queue_stats queue;
    weir_queue_stats(weir_model_queue(r->model), &queue);
    return queue.limit > 1 ? queue.limit / 2 : 1;
}

int64_t weir_tenant_cache_bytes(const struct weir_request *r)
{
    const struct weir_tenant *tenant = tenant_of(r);
    uint64_t n = tenant ? tenant->resources.cache_bytes : 0;
    return n < INT64_MAX ? (int64_t)n : INT64_MAX;
}

void weir_tenant_read_resources(struct weir_request *r)
{
    const struct weir_tenant *tenant = tenant_of(r);
    r->tenant_hash = XXH3_64bits(r->tenant.p ? r->tenant.p : "", r->tenant.n);
    r->resources = tenant ? tenant->resources : (struct weir_tenant_resources){0};
    if (r->resources.queue == 0) {
        r->resources.queue = usual_queue(r);
    }
    weir_generation *g = &r->api.generation;
    g->tenant = r->tenant;
    g->tenant_weight = r->resources.weight;
    g->tenant_share_ppm = r->resources.share_ppm;
    g->tenant_is_capped = r->resources.share_is_hard;
    g->tenant_kv_bytes = r->resources.kv_bytes;
}
