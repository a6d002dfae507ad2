/* SPDX-License-Identifier: Apache-2.0 */
#include "core/config/config.h"

#include <stdlib.h>

#include "core/config/schema.h"
#include "tests/support/cmocka.h"

static struct weir_config *config_of(const char *text)
{
    struct weir_findings f;
    struct weir_config *config = NULL;
    weir_findings_init(&f, "t.yaml");
    int r = weir_config_parse(weir_str_from(text), &f, false, &config);
    if (r < 0) {
        weir_findings_print(&f, stderr);
    }
    assert_int_equal(r, 0);
    weir_findings_finish(&f);
    return config;
}

static void defaults_make_a_server(void **state)
{
    (void)state;
    struct weir_config *c = config_of("models: {m: {targets: [{engine: {file: a.gguf}}]}}\n");

    assert_int_equal(c->server.listen.n, 1);
    assert_string_equal(c->server.listen.items[0], "127.0.0.1:8080");
    assert_string_equal(c->server.admin, "127.0.0.1:9090");
    assert_int_equal(c->server.n_workers, 0);
    assert_true(c->server.pin_threads);
    assert_null(c->server.tls_cert);
    assert_int_equal(c->server.drain_timeout_ms, 30000);
    assert_int_equal(c->server.limits.max_body_bytes, 10 * 1024 * 1024);
    assert_int_equal(c->server.limits.write_stall_timeout_ms, 30000);
    assert_string_equal(c->store.driver, "memory");
    assert_int_equal(c->store.timeout_ms, 50);
    assert_string_equal(c->logging.level, "info");
    assert_false(c->logging.json);
    assert_null(c->models_dir);
    const struct weir_config_model *m = weir_config_model_find(c, weir_str_from("m"));
    assert_int_equal(m->service_class, WEIR_CLASS_INTERACTIVE_UI);
    assert_int_equal(m->queue_size, 256);
    assert_true(m->targets[0].is_engine);
    assert_string_equal(m->targets[0].engine.backend, "auto");
    assert_int_equal(m->targets[0].engine.n_devices, 0);
    assert_int_equal(m->targets[0].engine.n_threads, 0);
    assert_int_equal(m->targets[0].engine.max_sequences, 16);
    assert_int_equal(m->targets[0].weight, 100);
    assert_true(weir_str_is(c->tenants_json, "{}"));
    assert_int_equal(c->n_plugins, 0);
    weir_config_unref(c);
}

static void every_field_is_read(void **state)
{
    (void)state;
    struct weir_config *c = config_of(
        "server:\n"
        "  listen: ['0.0.0.0:80', 'unix:/run/weir.sock']\n"
        "  admin: '[::1]:0'\n"
        "  workers: 3\n"
        "  affinity: none\n"
        "  tls: {cert: c.pem, key: k.pem}\n"
        "  drain_timeout: 1m\n"
        "  limits: {connections: 5, body_bytes: 1Mi, headers: 7, header_timeout: 1500us}\n"
        "store: {driver: redis, url: 'rediss://h:1/0', timeout: 1s, password_env: P, prefix: x,\n"
        "  connections: 3, tls: {ca: ca.pem}}\n"
        "logging: {level: debug, format: json}\n"
        "metrics: {compat: [vllm]}\n"
        "plugin_dirs: [/p]\n"
        "models_dir: /m\n"
        "models:\n"
        "  a:\n"
        "    class: batch\n"
        "    fallback: [b]\n"
        "    affinity: {header: x-session-id}\n"
        "    queue: {size: 9, timeout: 2s}\n"
        "    targets:\n"
        "      - {engine: {backend: echo, threads: 2, context: 4096, kv_memory: 1Gi, max_batch: "
        "4,\n"
        "         step_budget: 64, device: [3, GPU-1], options: {x: 1}}, weight: 95}\n"
        "      - {upstream: {url: 'http://h:8000/v1', region: eu, model: big}, weight: 5}\n"
        "  b: {targets: [{engine: {file: f}}]}\n"
        "plugins: [auth, {ratelimit: {levels: [global]}}, ./own.so, lua: ~]\n"
        "tenants:\n"
        "  zeta: {models: [b]}\n"
        "  acme: {tier: critical_api, keys: [{name: k, secret: 12345678x}]}\n");

    assert_string_equal(c->server.listen.items[1], "unix:/run/weir.sock");
    assert_int_equal(c->server.n_workers, 3);
    assert_false(c->server.pin_threads);
    assert_string_equal(c->server.tls_key, "k.pem");
    assert_int_equal(c->server.drain_timeout_ms, 60000);
    assert_int_equal(c->server.limits.max_connections, 5);
    assert_int_equal(c->server.limits.max_body_bytes, 1048576);
    assert_int_equal(c->server.limits.header_timeout_ms, 2);
    assert_string_equal(c->store.url, "rediss://h:1/0");
    assert_string_equal(c->store.password_env, "P");
    assert_string_equal(c->store.prefix, "x");
    assert_int_equal(c->store.n_connections, 3);
    assert_int_equal(c->store.max_in_flight, 4096);
    assert_int_equal(c->store.max_bytes, 256 * 1024 * 1024);
    assert_string_equal(c->store.tls_ca, "ca.pem");
    assert_null(c->store.tls_cert);
    assert_true(c->logging.json);
    assert_string_equal(c->metrics_compat.items[0], "vllm");
    assert_string_equal(c->plugin_dirs.items[0], "/p");
    assert_string_equal(c->models_dir, "/m");

    const struct weir_config_model *a = weir_config_model_find(c, weir_str_from("a"));
    assert_int_equal(a->service_class, WEIR_CLASS_BATCH);
    assert_string_equal(a->fallback[0]->name, "b");
    assert_string_equal(a->affinity_header, "x-session-id");
    assert_int_equal(a->queue_timeout_ms, 2000);
    const struct weir_config_engine *e = &a->targets[0].engine;
    assert_string_equal(e->backend, "echo");
    assert_null(e->file);
    assert_int_equal(e->kv_bytes, 1073741824);
    assert_int_equal(e->max_step_tokens, 64);
    assert_int_equal(e->n_devices, 2);
    assert_null(e->devices[0].id);
    assert_int_equal(e->devices[0].index, 3);
    assert_string_equal(e->devices[1].id, "GPU-1");
    assert_int_equal(yyjson_get_int(yyjson_obj_get(e->options, "x")), 1);
    assert_false(a->targets[1].is_engine);
    assert_string_equal(a->targets[1].upstream.url, "http://h:8000/v1");
    assert_int_equal(a->targets[1].node->place.line, 24);

    assert_int_equal(c->n_plugins, 4);
    assert_string_equal(c->plugins[1].name, "ratelimit");
    assert_int_equal(weir_doc_get(c->plugins[1].node, weir_str_from("levels"))->n_children, 1);
    assert_true(c->plugins[2].is_path);
    assert_int_equal(c->plugins[3].node->type, WEIR_DOC_MAP);
    assert_int_equal(c->plugins[3].node->n_children, 0);

    const struct weir_config_tenant *acme = weir_config_tenant_find(c, weir_str_from("acme"));
    assert_true(acme->has_class);
    assert_int_equal(acme->n_models, 0);
    assert_string_equal(weir_config_tenant_find(c, weir_str_from("zeta"))->models[0]->name, "b");
    assert_null(weir_config_tenant_find(c, weir_str_from("acm")));
    assert_non_null(strstr(c->tenants_json.p, "\"secret\":\"12345678x\""));
    weir_config_unref(c);
}

static void a_plugins_configuration_is_judged_where_it_stands(void **state)
{
    (void)state;
    struct weir_config *c = config_of("models: {m: {targets: [{engine: {}}]}}\n"
                                      "plugins:\n"
                                      "  - ratelimit: {level: global}\n"
                                      "  - auth\n");
    struct weir_findings f;
    weir_findings_init(&f, "t.yaml");
    struct weir_schema *schema = NULL;
    assert_int_equal(
        weir_schema_load(weir_str_from("{\"required\":[\"levels\"],\"additionalProperties\":false,"
                                       "\"properties\":{\"levels\":{\"type\":\"array\"}}}"),
                         &f, &schema),
        0);

    assert_true(weir_schema_check(schema, c->plugins[0].node, &f, NULL) < 0);
    assert_true(weir_schema_check(schema, c->plugins[1].node, &f, NULL) < 0);

    assert_int_equal(f.n, 3);
    assert_string_equal(f.items[1].path, "plugins[0].ratelimit.level");
    assert_int_equal(f.items[1].place.line, 3);
    assert_int_equal(f.items[1].place.column, 17);
    assert_string_equal(f.items[2].path, "plugins[1]");
    assert_int_equal(f.items[2].place.line, 4);
    weir_schema_destroy(schema);
    weir_findings_finish(&f);
    weir_config_unref(c);
}

static void the_last_reference_ends_it(void **state)
{
    (void)state;
    struct weir_config *c = config_of("models: {m: {targets: [{engine: {}}]}}\n");

    struct weir_config *again = weir_config_ref(c);
    weir_config_unref(c);

    assert_string_equal(again->models[0].name, "m");
    weir_config_unref(again);
    weir_config_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_make_a_server),
        cmocka_unit_test(every_field_is_read),
        cmocka_unit_test(a_plugins_configuration_is_judged_where_it_stands),
        cmocka_unit_test(the_last_reference_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
