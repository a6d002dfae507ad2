/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/config.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/config/schema.h"

static const char on_error_schema[] =
    "{\"enum\":[\"closed\",\"open\"],\"default\":\"closed\",\"description\":\"What a failure of "
    "this plugin means: closed answers 503, open goes on without it.\"}";
static const char enabled_schema[] =
    "{\"type\":\"boolean\",\"default\":true,\"description\":\"false: not loaded.\"}";

static bool add_property(yyjson_mut_doc *doc, yyjson_mut_val *properties, const char *name,
                         const char *schema)
{
    if (yyjson_mut_obj_get(properties, name)) {
        return true; /* the plugin states its own default */
    }
    yyjson_doc *parsed = yyjson_read(schema, strlen(schema), 0);
    yyjson_mut_val *copy = parsed ? yyjson_val_mut_copy(doc, yyjson_doc_get_root(parsed)) : NULL;
    yyjson_doc_free(parsed);
    return copy && yyjson_mut_obj_add_val(doc, properties, name, copy);
}

/* The plugin's schema with the host's keys among its properties; free(). NULL: not JSON, or no
 * object. */
static char *merged_schema(const char *text, size_t *ret_len)
{
    const char *own = text ? text : "{\"type\":\"object\",\"additionalProperties\":false}";
    yyjson_doc *parsed = yyjson_read(own, strlen(own), 0);
    if (!parsed || !yyjson_is_obj(yyjson_doc_get_root(parsed))) {
        yyjson_doc_free(parsed);
        return NULL;
    }
    char *merged = NULL;
    yyjson_mut_doc *doc = yyjson_doc_mut_copy(parsed, NULL);
    yyjson_mut_val *root = doc ? yyjson_mut_doc_get_root(doc) : NULL;
    yyjson_mut_val *properties = root ? yyjson_mut_obj_get(root, "properties") : NULL;
    if (root && !properties) {
        properties = yyjson_mut_obj_add_obj(doc, root, "properties");
    }
    if (properties && yyjson_mut_is_obj(properties) &&
        add_property(doc, properties, "on_error", on_error_schema) &&
        add_property(doc, properties, "enabled", enabled_schema)) {
        merged = yyjson_mut_write(doc, 0, ret_len);
    }
    yyjson_mut_doc_free(doc);
    yyjson_doc_free(parsed);
    return merged;
}

/* A plugin that names on_error in its schema applies it itself, and gets to see it. */
static bool declares_on_error(const char *schema)
{
    yyjson_doc *doc = schema ? yyjson_read(schema, strlen(schema), 0) : NULL;
    bool own = yyjson_ptr_get(yyjson_doc_get_root(doc), "/properties/on_error") != NULL;
    yyjson_doc_free(doc);
    return own;
}

static int load_schema(const struct weir_plugin_library *lib, struct weir_findings *findings,
                       const struct weir_plugin_spec *spec, struct weir_schema **ret_schema)
{
    size_t len = 0;
    char *text = merged_schema(lib->about.config_schema, &len);
    if (!text) {
        weir_doc_complain(findings, spec->entry, NULL,
                          "plugin %s: its configuration schema is not a JSON object",
                          lib->about.name);
        return WEIR_E_FORMAT;
    }
    char name[128];
    (void)snprintf(name, sizeof(name), "schema of plugin %s", lib->about.name);
    struct weir_findings own;
    weir_findings_init(&own, name);
    int rc = weir_schema_load((weir_str){text, len}, &own, ret_schema);
    if (rc < 0) {
        struct weir_error err = {0};
        (void)weir_findings_to_error(&own, &err);
        weir_doc_complain(findings, spec->entry, NULL, "%s", err.message);
    }
    weir_findings_finish(&own);
    free(text);
    return rc;
}

static int take_keys(yyjson_doc *json, bool own_on_error, struct weir_plugin_config *config)
{
    yyjson_mut_doc *doc = yyjson_doc_mut_copy(json, NULL);
    yyjson_mut_val *root = doc ? yyjson_mut_doc_get_root(doc) : NULL;
    if (!root) {
        yyjson_mut_doc_free(doc);
        return WEIR_E_NOMEM;
    }
    const char *on_error = yyjson_mut_get_str(yyjson_mut_obj_get(root, "on_error"));
    yyjson_mut_val *enabled = yyjson_mut_obj_get(root, "enabled");
    config->fail_open = on_error && strcmp(on_error, "open") == 0;
    config->enabled = !yyjson_mut_is_false(enabled);
    if (!own_on_error) {
        (void)yyjson_mut_obj_remove_key(root, "on_error");
    }
    (void)yyjson_mut_obj_remove_key(root, "enabled");
    config->json = yyjson_mut_write(doc, 0, &config->json_len);
    yyjson_mut_doc_free(doc);
    return config->json ? 0 : WEIR_E_NOMEM;
}

int weir_plugin_config_read(const struct weir_plugin_library *lib,
                            const struct weir_plugin_spec *spec, struct weir_findings *findings,
                            struct weir_plugin_config *ret_config)
{
    struct weir_schema *schema = NULL;
    int rc = load_schema(lib, findings, spec, &schema);
    if (rc < 0) {
        return rc;
    }
    yyjson_doc *json = NULL;
    rc = weir_schema_check(schema, spec->config, findings, &json);
    weir_schema_destroy(schema);
    if (rc < 0) {
        return rc;
    }
    struct weir_plugin_config config = {0};
    rc = take_keys(json, declares_on_error(lib->about.config_schema), &config);
    yyjson_doc_free(json);
    if (rc == 0) {
        *ret_config = config;
    }
    return rc;
}

void weir_plugin_config_finish(struct weir_plugin_config *config)
{
    free(config->json);
    *config = (struct weir_plugin_config){0};
}
