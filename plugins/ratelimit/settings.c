/* SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include <string.h>

#define RATE(name, what)                                                                           \
    "\"" name "\":{\"description\":\"" what                                                        \
    "; or with the burst that may come at once (left out: one period's worth)\",\"anyOf\":["       \
    "{\"type\":\"number\",\"exclusiveMinimum\":0,\"maximum\":1000000000000},"                      \
    "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"limit\"],"                \
    "\"properties\":{\"limit\":{\"type\":\"number\",\"exclusiveMinimum\":0,"                       \
    "\"maximum\":1000000000000},\"burst\":{\"type\":\"number\",\"minimum\":1,"                     \
    "\"maximum\":1000000000000}}}]},"

const char settings_schema[] =
    "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
    "\"levels\":{\"type\":\"array\",\"uniqueItems\":true,\"description\":\"The levels at which "
    "limits hold; limits of others are not looked at.\",\"items\":{\"enum\":[\"global\","
    "\"tenant\",\"user\",\"key\",\"model\"]},\"default\":[\"global\",\"tenant\",\"user\",\"key\","
    "\"model\"]},"
    "\"limits\":{\"type\":\"object\",\"additionalProperties\":false,\"default\":{},"
    "\"description\":\"Limits of the installation, and what holds for each tenant, user, key and "
    "model unless a tenant's record says otherwise.\",\"properties\":{"
    "\"global\":{\"description\":\"all requests together\",\"$ref\":\"#/$defs/limits\"},"
    "\"tenant\":{\"description\":\"each tenant\",\"$ref\":\"#/$defs/limits\"},"
    "\"user\":{\"description\":\"each user of a tenant\",\"$ref\":\"#/$defs/limits\"},"
    "\"key\":{\"description\":\"each API key\",\"$ref\":\"#/$defs/limits\"},"
    "\"model\":{\"description\":\"each model, over all tenants\",\"$ref\":\"#/$defs/limits\"},"
    "\"models\":{\"type\":\"object\",\"description\":\"models by name, over all tenants\","
    "\"additionalProperties\":{\"$ref\":\"#/$defs/limits\"}}}},"
    "\"on_store_loss\":{\"enum\":[\"deny\",\"allow\",\"local\"],\"default\":\"deny\","
    "\"description\":\"Without the store: deny answers 503; allow lets everything pass; local "
    "gives each replica limit/replicas, counted by itself.\"},"
    "\"replicas\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":100000,\"description\":\"The "
    "most replicas that run at a time; needed by on_store_loss: local.\"},"
    "\"concurrent_ttl\":{\"type\":\"string\",\"format\":\"duration\",\"default\":\"15s\","
    "\"description\":\"After how long the places of a dead replica are free again.\"},"
    "\"assumed_tokens\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":10000000,\"default\":1024,"
    "\"description\":\"Reserved for an answer whose length nothing bounds.\"},"
    "\"adaptive\":{\"type\":\"object\",\"additionalProperties\":false,\"default\":{},"
    "\"description\":\"Fewer requests of a model and class at a time while its P95 time to the "
    "first token is above the SLA.\",\"properties\":{"
    "\"enabled\":{\"type\":\"boolean\",\"default\":false},"
    "\"min\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000000,\"default\":4,"
    "\"description\":\"requests that always run\"},"
    "\"max\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000000,\"default\":256,"
    "\"description\":\"requests at a time while all is well\"},"
    "\"interval\":{\"type\":\"string\",\"format\":\"duration\",\"default\":\"1s\","
    "\"description\":\"between two changes\"},"
    "\"min_samples\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":256,\"default\":10,"
    "\"description\":\"times that a change needs\"},"
    "\"ttft_max_ms\":{\"type\":\"object\",\"additionalProperties\":false,\"default\":{},"
    "\"description\":\"the SLA by class; left out: that of performance.latency_slas, else 200 for "
    "interactive_ui, 150 for critical_api and 5000 for batch\",\"properties\":{"
    "\"interactive_ui\":{\"type\":\"number\",\"exclusiveMinimum\":0},"
    "\"critical_api\":{\"type\":\"number\",\"exclusiveMinimum\":0},"
    "\"batch\":{\"type\":\"number\",\"exclusiveMinimum\":0}}}}}},"
    "\"$defs\":{\"limits\":{\"type\":\"object\",\"additionalProperties\":false,\"properties\":"
    "{" RATE("requests_per_second", "requests in a second") RATE(
        "requests_per_minute",
        "requests in a minute") RATE("requests_per_hour",
                                     "requests in an hour") RATE("requests_per_day",
                                                                 "requests in a day")
        RATE("tokens_per_second", "prompt and completion tokens in a second") RATE(
            "tokens_per_minute", "prompt and completion tokens in a minute")
            RATE("tokens_per_hour", "prompt and completion tokens in an hour") RATE(
                "tokens_per_day",
                "prompt and completion tokens in a day") "\"concurrent\":{\"description\":"
                                                         "\"requests that run at a "
                                                         "time\",\"type\":\"integer\","
                                                         "\"minimum\":1,\"maximum\":1000000}}}}}";

/* The plugin's own, else what the whole installation promises, else what is usual. */
static uint64_t sla_us(const weir_host *h, yyjson_val *own, const char *service_class,
                       uint64_t usual_ms)
{
    const weir_ext_slas *ext = h->get_ext(h, WEIR_EXT_SLAS);
    weir_latency_sla promised = {.struct_size = sizeof(promised)};
    double ms = yyjson_get_num(yyjson_obj_get(own, service_class));
    if (ms > 0) {
        return ms * 1000 < 1 ? 1 : ms < 1e12 ? (uint64_t)(ms * 1000) : (uint64_t)1e15;
    }
    bool found = ext && WEIR_HAS_FN(ext, latency) &&
                 ext->latency(h, weir_str_from(service_class), &promised) == 0;
    return found && promised.ttft_max_us ? promised.ttft_max_us : usual_ms * 1000;
}

static void read_adaptive(const weir_host *h, yyjson_val *v, struct settings *s)
{
    yyjson_val *sla = yyjson_obj_get(v, "ttft_max_ms");
    s->is_adaptive = yyjson_is_true(yyjson_obj_get(v, "enabled"));
    s->adaptive = (struct adaptive_options){
        .sla_us = {sla_us(h, sla, "critical_api", 150), sla_us(h, sla, "interactive_ui", 200),
                   sla_us(h, sla, "batch", 5000)},
        .min = (uint32_t)yyjson_get_uint(yyjson_obj_get(v, "min")),
        .max = (uint32_t)yyjson_get_uint(yyjson_obj_get(v, "max")),
        .interval_us = rules_duration_ms(yyjson_obj_get(v, "interval"), 1000) * 1000,
        .min_samples = (uint32_t)yyjson_get_uint(yyjson_obj_get(v, "min_samples")),
    };
}

int settings_read(weir_str json, struct settings *ret_settings, struct limiter *l,
                  const char **ret_error)
{
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    const char *loss = yyjson_get_str(yyjson_obj_get(root, "on_store_loss"));
    int rc = doc ? rules_read(json, "limits", &l->config) : WEIR_E_NOMEM;
    *ret_error = "out of memory";
    if (rc == 0) {
        l->levels = rules_levels(yyjson_obj_get(root, "levels"));
        l->general = l->levels & rules_general_levels(&l->config);
        l->replicas = (uint32_t)yyjson_get_uint(yyjson_obj_get(root, "replicas"));
        l->slot_ttl_ms = rules_duration_ms(yyjson_obj_get(root, "concurrent_ttl"), 15000);
        l->slot_ttl_ms = l->slot_ttl_ms < 1000 ? 1000 : l->slot_ttl_ms;
        l->on_loss = loss && strcmp(loss, "allow") == 0   ? ON_LOSS_ALLOW
                     : loss && strcmp(loss, "local") == 0 ? ON_LOSS_LOCAL
                                                          : ON_LOSS_DENY;
        ret_settings->assumed_tokens = yyjson_get_uint(yyjson_obj_get(root, "assumed_tokens"));
        read_adaptive(l->host, yyjson_obj_get(root, "adaptive"), ret_settings);
        if (l->on_loss == ON_LOSS_LOCAL && l->replicas == 0) {
            *ret_error = "on_store_loss: local needs replicas: the most that run at a time";
            rc = WEIR_E_ARG;
        } else if (ret_settings->adaptive.min > ret_settings->adaptive.max) {
            *ret_error = "adaptive.min is larger than adaptive.max";
            rc = WEIR_E_ARG;
        }
    }
    yyjson_doc_free(doc);
    return rc;
}
