/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics, models, plugins, the description of the API. */
#include "base/clock.h"
#include "core/admin/call.h"
#include "core/admin/openapi.h"
#include "core/admin/tenant_openapi.h"
#include "core/request/answer.h"
#include "core/server/server.h"

enum { MAX_PAGE_BYTES = 16 * 1024 * 1024 };

static struct weir_server *server_of(struct weir_request *r)
{
    return weir_worker_server(r->worker);
}

static void answer_buf(struct weir_request *r, const char *type, struct weir_buf *b)
{
    if (b->failed) {
        weir_answer_error(r, 500, "", "too_large", "The page is larger than this server allows.");
    } else {
        weir_answer_text(r, 200, type, weir_buf_view(b));
    }
    weir_buf_finish(b);
}

static void show_metrics(struct weir_request *r)
{
    struct weir_buf b;
    weir_buf_init(&b, MAX_PAGE_BYTES);
    if (weir_metrics_render(server_of(r)->metrics, &b) < 0) {
        b.failed = true;
    }
    answer_buf(r, "text/plain; version=0.0.4; charset=utf-8", &b);
}

static void list_plugins(struct weir_request *r)
{
    struct weir_buf b;
    weir_buf_init(&b, MAX_PAGE_BYTES);
    struct weir_plugin_chain *chain = weir_plugins_chain(server_of(r)->plugins);
    weir_plugin_chain_status(chain, &b);
    weir_plugin_chain_unref(chain);
    answer_buf(r, "application/json", &b);
}

static void add_target(struct weir_buf *b, struct weir_target *t)
{
    static const char *const states[] = {"unknown", "loading", "ready", "stalled", "failed"};
    weir_target_status s;
    weir_target_read_status(t, &s);
    weir_buf_add_text(b, "{\"name\":");
    weir_buf_add_json_str(b, weir_str_from(weir_target_name(t)));
    weir_buf_printf(b,
                    ",\"state\":\"%s\",\"progress\":%.3f,\"running\":%u,\"waiting\":%u,"
                    "\"pages\":{\"total\":%u,\"used\":%u,\"cached\":%u},"
                    "\"steps\":%llu,\"context\":%u,\"weight_bytes\":%llu,\"kv_bytes\":%llu,"
                    "\"device\":",
                    states[s.state <= 4 ? s.state : 0], (double)s.progress, s.running, s.waiting,
                    s.pages_total, s.pages_used, s.pages_cached, (unsigned long long)s.steps,
                    s.n_ctx, (unsigned long long)s.weight_bytes, (unsigned long long)s.kv_bytes);
    weir_buf_add_json_str(b, weir_str_from(s.device));
    weir_buf_add_text(b, ",\"arch\":");
    weir_buf_add_json_str(b, weir_str_from(s.arch));
    weir_buf_add_text(b, ",\"quantisation\":");
    weir_buf_add_json_str(b, weir_str_from(s.quant));
    weir_buf_add_text(b, ",\"error\":");
    weir_buf_add_json_str(b, weir_str_from(s.error));
}

/* What the balance and the health know of it. */
static void add_balance(struct weir_buf *b, struct weir_model *m, uint32_t i)
{
    const struct weir_balance *balance = weir_model_balance(m);
    const struct weir_balance_target *t = &balance->targets[i];
    const struct weir_health *h = weir_model_health(m);
    uint32_t share_ppm = atomic_load_explicit(&t->share_ppm, memory_order_relaxed);
    weir_buf_printf(b,
                    ",\"health\":{\"state\":\"%s\",\"share\":%.3f,\"good\":%llu,\"bad\":%llu,"
                    "\"ejections\":%llu},\"weight\":%u,\"used\":%u,\"first_token_ms\":%.1f,"
                    "\"region\":",
                    weir_health_state_name(weir_health_state(h, i)),
                    (double)share_ppm / WEIR_BALANCE_FULL_SHARE,
                    (unsigned long long)weir_health_results(h, i, true),
                    (unsigned long long)weir_health_results(h, i, false),
                    (unsigned long long)weir_health_ejections(h, i, WEIR_HEALTH_BY_ERRORS) +
                        (unsigned long long)weir_health_ejections(h, i, WEIR_HEALTH_BY_RATE),
                    t->weight, weir_queue_used(weir_model_queue(m), i),
                    weir_balance_ttft_ns(balance, i, weir_clock_mono_us()) / 1e6);
    weir_buf_add_json_str(b, weir_str_from(balance->regions[t->region].name));
    weir_buf_add_char(b, '}');
}

/* {"critical_api":20,…}: how many each class may fill. */
static void add_places(struct weir_buf *b, const struct weir_queue_stats *q)
{
    for (uint32_t c = 0; c < WEIR_CLASS_COUNT; c++) {
        weir_buf_printf(b, "%s\"%s\":%u", c ? "," : "{", weir_class_name((enum weir_class)c),
                        q->places[c]);
    }
    weir_buf_add_char(b, '}');
}

static void list_models(struct weir_request *r)
{
    const struct weir_models *models = &server_of(r)->models;
    struct weir_buf b;
    weir_buf_init(&b, MAX_PAGE_BYTES);
    weir_buf_add_char(&b, '[');
    for (uint32_t i = 0; i < models->n; i++) {
        struct weir_model *m = models->list[i];
        struct weir_queue_stats q;
        weir_queue_stats(weir_model_queue(m), &q);
        weir_buf_add_text(&b, i ? ",{\"name\":" : "{\"name\":");
        weir_buf_add_json_str(&b, weir_str_from(weir_model_name(m)));
        weir_buf_printf(&b,
                        ",\"class\":\"%s\",\"queue\":{\"waiting\":%u,\"running\":%u,\"used\":%u,",
                        weir_class_name((enum weir_class)weir_model_class_rank(m)), q.waiting,
                        q.running, q.places_used);
        weir_buf_add_text(&b, "\"places\":");
        add_places(&b, &q);
        weir_buf_printf(&b, "},\"algorithm\":\"%s\",\"targets\":[",
                        weir_balance_kind_name(weir_model_balance(m)->config.kind));
        for (uint32_t k = 0; k < weir_model_n_targets(m); k++) {
            if (k) {
                weir_buf_add_char(&b, ',');
            }
            add_target(&b, weir_model_target(m, k));
            add_balance(&b, m, k);
        }
        weir_buf_add_text(&b, "]}");
    }
    weir_buf_add_char(&b, ']');
    answer_buf(r, "application/json", &b);
}

static void show_openapi(struct weir_request *r)
{
    struct weir_buf b;
    weir_buf_init(&b, MAX_PAGE_BYTES);
    if (weir_admin_openapi_write(r->admin->plugin.chain, &b) < 0) {
        b.failed = true;
    }
    answer_buf(r, "application/json", &b);
}

static void show_index(struct weir_request *r)
{
    weir_answer_json(r, 200,
                     weir_str_from("{\"links\":[\"/healthz/live\",\"/healthz/ready\","
                                   "\"/healthz/startup\",\"/metrics\",\"/admin/v1/models\","
                                   "\"/admin/v1/plugins\",\"/admin/v1/tenants\","
                                   "\"/admin/v1/openapi.json\"]}"));
}

enum { EVERY_KEY = WEIR_SCOPE_TENANT_ADMIN | WEIR_SCOPE_METRICS };

#define LIST(description)                                                                          \
    "{\"responses\":{" WEIR_OPENAPI_JSON("200", description,                                       \
                                         "{\"type\":\"array\","                                    \
                                         "\"items\":{\"type\":\"object\"}}") "}}"

static const struct weir_admin_route_row rows[] = {
    {"GET", "/metrics", WEIR_SCOPE_METRICS, "Prometheus text format",
     "{\"responses\":{\"200\":{\"description\":\"metrics\",\"content\":{\"text/plain\":{"
     "\"schema\":{\"type\":\"string\"}}}}}}",
     show_metrics},
    {"GET", "/admin", EVERY_KEY, "Where to go on",
     "{\"responses\":{" WEIR_OPENAPI_JSON("200", "links", "{\"type\":\"object\"}") "}}",
     show_index},
    {"GET", "/admin/v1/models", 0, "Models, their queues and targets", LIST("the models"),
     list_models},
    {"GET", "/admin/v1/plugins", 0, "Plugins in the order of execution", LIST("the plugins"),
     list_plugins},
    {"GET", "/admin/v1/openapi.json", EVERY_KEY, "This description",
     "{\"responses\":{" WEIR_OPENAPI_JSON("200", "OpenAPI 3.1", "{\"type\":\"object\"}") "}}",
     show_openapi},
};

const struct weir_admin_table weir_admin_system_routes = {rows, sizeof(rows) / sizeof(rows[0])};
