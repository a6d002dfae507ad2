/* SPDX-License-Identifier: Apache-2.0 */
/* Check: configurations made at random from the plugin's schema, right ones and wrong ones. */
#include <stdio.h>
#include <stdlib.h>

#include "core/plugin/config.h"
#include "core/plugin/plugins_internal.h"
#include "sdk/kit/bench.h"

enum { ROUNDS = 300, MAX_DEPTH = 6 };

static void add_value(struct weir_kit_probe *p, struct weir_buf *out, yyjson_val *schema,
                      int depth);

static void add_odd_value(struct weir_kit_probe *p, struct weir_buf *out)
{
    static const char *const odd[] = {
        "null", "true",    "-1", "0",  "1e300",  "9223372036854775807",
        "\"\"", "\"x y\"", "[]", "{}", "[[[]]]", "\"\\\\\\\"\""};
    weir_buf_add_text(out, odd[weir_kit_random(p, sizeof(odd) / sizeof(odd[0]))]);
}

static void add_any_of(struct weir_kit_probe *p, struct weir_buf *out, yyjson_val *list)
{
    yyjson_val *v = yyjson_arr_get(list, weir_kit_random(p, (uint32_t)yyjson_arr_size(list)));
    char *json = yyjson_val_write(v, 0, NULL);
    weir_buf_add_text(out, json ? json : "null");
    free(json);
}

static void add_number(struct weir_kit_probe *p, struct weir_buf *out, yyjson_val *schema)
{
    yyjson_val *min = yyjson_obj_get(schema, "minimum"), *max = yyjson_obj_get(schema, "maximum");
    double low = min ? yyjson_get_num(min) : 0, high = max ? yyjson_get_num(max) : low + 100;
    uint32_t span = high - low < 1e6 ? (uint32_t)(high - low) : 1000000;
    switch (weir_kit_random(p, 4)) {
    case 0: weir_buf_printf(out, "%.0f", low); break;
    case 1: weir_buf_printf(out, "%.0f", high); break;
    case 2: weir_buf_printf(out, "%.0f", high + 1); break; /* maybe just over the bound */
    default: weir_buf_printf(out, "%.0f", low + weir_kit_random(p, span + 1)); break;
    }
}

static void add_string(struct weir_kit_probe *p, struct weir_buf *out, yyjson_val *schema)
{
    static const char *const some[] = {"a",
                                       "30s",
                                       "64MiB",
                                       "name",
                                       "x-header",
                                       "https://example.org",
                                       "127.0.0.1:80",
                                       "/x",
                                       "",
                                       "\xC3\xA4\xF0\x9F\x98\x80"};
    const char *own = yyjson_get_str(yyjson_obj_get(schema, "default"));
    uint32_t i = weir_kit_random(p, sizeof(some) / sizeof(some[0]) + 1);
    const char *text = i < sizeof(some) / sizeof(some[0]) ? some[i] : own ? own : "x";
    weir_buf_add_json_str(out, weir_str_from(text));
}

static void add_array(struct weir_kit_probe *p, struct weir_buf *out, yyjson_val *schema, int depth)
{
    uint32_t n = weir_kit_random(p, 4);
    weir_buf_add_char(out, '[');
    for (uint32_t i = 0; i < n; i++) {
        weir_buf_add_text(out, i ? "," : "");
        add_value(p, out, yyjson_obj_get(schema, "items"), depth + 1);
    }
    weir_buf_add_char(out, ']');
}

static bool is_required(yyjson_val *schema, const char *name)
{
    size_t i, max;
    yyjson_val *v;
    yyjson_arr_foreach(yyjson_obj_get(schema, "required"), i, max, v)
    {
        if (yyjson_equals_str(v, name)) {
            return true;
        }
    }
    return false;
}

static void add_object(struct weir_kit_probe *p, struct weir_buf *out, yyjson_val *schema,
                       int depth)
{
    bool any = false;
    size_t i, max;
    yyjson_val *name, *property;
    weir_buf_add_char(out, '{');
    yyjson_obj_foreach(yyjson_obj_get(schema, "properties"), i, max, name, property)
    {
        const char *text = yyjson_get_str(name);
        if (!is_required(schema, text) && weir_kit_random(p, 2)) {
            continue;
        }
        weir_buf_add_text(out, any ? "," : "");
        weir_buf_add_json_str(out, weir_str_from(text));
        weir_buf_add_char(out, ':');
        add_value(p, out, property, depth + 1);
        any = true;
    }
    if (weir_kit_random(p, 20) == 0) {
        weir_buf_add_text(out, any ? ",\"no_such_key\":1" : "\"no_such_key\":1");
    }
    weir_buf_add_char(out, '}');
}

/* Recursion is bounded by MAX_DEPTH. */
static void add_value(struct weir_kit_probe *p, struct weir_buf *out, yyjson_val *schema, int depth)
{
    yyjson_val *type = yyjson_obj_get(schema, "type");
    if (yyjson_is_arr(type)) {
        type = yyjson_arr_get(type, weir_kit_random(p, (uint32_t)yyjson_arr_size(type)));
    }
    yyjson_val *choices = yyjson_obj_get(schema, "enum");
    if (depth > MAX_DEPTH || weir_kit_random(p, 12) == 0) {
        add_odd_value(p, out);
    } else if (choices) {
        add_any_of(p, out, choices);
    } else if (yyjson_equals_str(type, "object")) {
        add_object(p, out, schema, depth);
    } else if (yyjson_equals_str(type, "array")) {
        add_array(p, out, schema, depth);
    } else if (yyjson_equals_str(type, "string")) {
        add_string(p, out, schema);
    } else if (yyjson_equals_str(type, "boolean")) {
        weir_buf_add_text(out, weir_kit_random(p, 2) ? "true" : "false");
    } else if (yyjson_equals_str(type, "integer") || yyjson_equals_str(type, "number")) {
        add_number(p, out, schema);
    } else {
        add_odd_value(p, out);
    }
}

/* True when the schema accepts the text; then the plugin must take it or refuse it in words. */
static bool try_config(struct weir_kit_bench *b, const char *json)
{
    struct weir_findings findings;
    weir_findings_init(&findings, "random");
    struct weir_doc *doc = NULL;
    struct weir_plugin_config config = {0};
    bool accepted = weir_doc_parse(weir_str_from(json), &findings, &doc) == 0;
    if (accepted) {
        const struct weir_plugin_spec spec = {"random", weir_doc_root(doc), weir_doc_root(doc)};
        accepted = weir_plugin_config_read(b->lib, &spec, &findings, &config) == 0;
    }
    struct weir_plugin_instance *inst = NULL;
    if (accepted &&
        weir_plugin_instance_create(b->stage.plugins, b->lib,
                                    weir_str_from(b->probe->target->tenants_json), &inst) == 0) {
        struct weir_error err = {0};
        int rc = weir_plugin_instance_start(inst, (weir_str){config.json, config.json_len}, &err);
        if (rc < 0 && strstr(err.message, "it refused, unexplained")) {
            weir_kit_find(b->probe, "refused %.200s without a sentence in *err", json);
        }
        struct weir_plugin_leaks leaks = {0};
        weir_plugin_instance_end(inst, &leaks);
        if (leaks.allocs || leaks.timers) {
            weir_kit_find(b->probe, "left %llu blocks and %u timers after %.200s",
                          (unsigned long long)leaks.allocs, leaks.timers, json);
        }
    }
    weir_plugin_config_finish(&config);
    weir_doc_destroy(doc);
    weir_findings_finish(&findings);
    return accepted;
}

void weir_kit_check_config(struct weir_kit_probe *p)
{
    struct weir_kit_bench b;
    if (!weir_kit_bench_init(&b, p)) {
        return;
    }
    const char *text = b.lib->about.config_schema;
    yyjson_doc *schema = text ? yyjson_read(text, strlen(text), 0) : NULL;
    struct weir_buf json;
    weir_buf_init(&json, 1 << 16);
    if (!schema) {
        weir_kit_skip(p, "it has no schema");
    }
    for (int i = 0; schema && i < ROUNDS; i++) {
        weir_buf_reset(&json);
        add_object(p, &json, yyjson_doc_get_root(schema), 0);
        if (!json.failed) {
            (void)try_config(&b, json.data);
        }
    }
    weir_buf_finish(&json);
    yyjson_doc_free(schema);
    weir_kit_bench_finish(&b);
}
