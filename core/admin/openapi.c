/* SPDX-License-Identifier: Apache-2.0 */
#include "openapi.h"

#include <stdio.h>
#include <stdlib.h>
#include <yyjson.h>

#include "core/admin/route.h"
#include "core/config/config.h"
#include "core/plugin/admin.h"

/* What is not written from tables: the probes, which need no key, and what operations share. */
static const char base[] =
    "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"weir admin\",\"version\":\"1\","
    "\"description\":\"The admin listener. What a key may not see is answered 404.\"},"
    "\"security\":[{\"key\":[]},{}],\"paths\":{},\"components\":{"
    "\"securitySchemes\":{\"key\":{\"type\":\"http\",\"scheme\":\"bearer\"}},"
    "\"responses\":{\"Error\":{\"description\":\"what is wrong\",\"content\":{"
    "\"application/json\":{\"schema\":{\"$ref\":\"#/components/schemas/Error\"}}}}},"
    "\"parameters\":{"
    "\"Limit\":{\"name\":\"limit\",\"in\":\"query\",\"description\":\"how many at most\","
    "\"schema\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000,\"default\":100}},"
    "\"After\":{\"name\":\"after\",\"in\":\"query\",\"description\":\"go on behind this one: "
    "`next` of the page before\",\"schema\":{\"type\":\"string\",\"maxLength\":256}},"
    "\"IfMatch\":{\"name\":\"If-Match\",\"in\":\"header\",\"required\":true,\"description\":"
    "\"the ETag of what shall be changed, or *\",\"schema\":{\"type\":\"string\"}}},"
    "\"schemas\":{\"Error\":{\"type\":\"object\",\"required\":[\"error\"],\"properties\":{"
    "\"error\":{\"type\":\"object\",\"required\":[\"message\",\"type\",\"param\",\"code\"],"
    "\"properties\":{\"message\":{\"type\":\"string\"},\"type\":{\"type\":\"string\"},"
    "\"param\":{\"type\":[\"string\",\"null\"]},\"code\":{\"type\":[\"string\",\"null\"]}}}}},"
    "\"TenantList\":{\"type\":\"object\",\"required\":[\"object\",\"data\",\"has_more\",\"next\"],"
    "\"properties\":{\"object\":{\"const\":\"list\"},\"data\":{\"type\":\"array\",\"items\":{"
    "\"$ref\":\"#/components/schemas/Tenant\"}},\"has_more\":{\"type\":\"boolean\"},"
    "\"next\":{\"type\":[\"string\",\"null\"]}}},"
    "\"TenantExport\":{\"type\":\"object\",\"required\":[\"tenant\",\"collections\"],"
    "\"properties\":{\"tenant\":{\"$ref\":\"#/components/schemas/Tenant\"},"
    "\"collections\":{\"type\":\"object\"}}},"
    "\"NewTenant\":{\"allOf\":[{\"$ref\":\"#/components/schemas/TenantEntry\"},"
    "{\"type\":\"object\",\"required\":[\"name\"]}]}}}}";

/* What a tenant of the API has beyond its entry. */
static const char read_only[] =
    "{\"source\":{\"enum\":[\"api\",\"config\"]},\"created\":{\"type\":\"string\"},"
    "\"updated\":{\"type\":\"string\"}}";
static const char tenant_name[] =
    "{\"name\":{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9][A-Za-z0-9._-]*$\","
    "\"maxLength\":64}}";

struct writer {
    yyjson_mut_doc *doc;
    yyjson_mut_val *paths, *schemas;
    bool failed;
};

static yyjson_mut_val *parse(struct writer *w, const char *text, size_t n)
{
    yyjson_doc *doc = yyjson_read(text, n, 0);
    yyjson_mut_val *v = doc ? yyjson_val_mut_copy(w->doc, yyjson_doc_get_root(doc)) : NULL;
    yyjson_doc_free(doc);
    w->failed = w->failed || !v;
    return v;
}

static void set(struct writer *w, yyjson_mut_val *object, const char *key, yyjson_mut_val *value)
{
    yyjson_mut_val *name = yyjson_mut_strcpy(w->doc, key);
    w->failed = w->failed || !yyjson_mut_obj_put(object, name, value);
}

/* ---- paths ---- */

static yyjson_mut_val *path_parameter(struct writer *w, const char *name, size_t n)
{
    yyjson_mut_val *p = yyjson_mut_obj(w->doc);
    yyjson_mut_val *schema = yyjson_mut_obj(w->doc);
    bool ok = yyjson_mut_obj_add_strncpy(w->doc, p, "name", name, n) &&
              yyjson_mut_obj_add_str(w->doc, p, "in", "path") &&
              yyjson_mut_obj_add_bool(w->doc, p, "required", true) &&
              yyjson_mut_obj_add_str(w->doc, schema, "type", "string") &&
              yyjson_mut_obj_add_uint(w->doc, schema, "minLength", 1) &&
              yyjson_mut_obj_add_val(w->doc, p, "schema", schema);
    w->failed = w->failed || !ok;
    return p;
}

static yyjson_mut_val *item_of(struct writer *w, const char *path)
{
    yyjson_mut_val *item = yyjson_mut_obj_get(w->paths, path);
    if (item) {
        return item;
    }
    item = yyjson_mut_obj(w->doc);
    yyjson_mut_val *parameters = yyjson_mut_arr(w->doc);
    for (const char *at = strchr(path, '{'); at; at = strchr(at + 1, '{')) {
        w->failed = w->failed || !yyjson_mut_arr_add_val(
                                     parameters, path_parameter(w, at + 1, strcspn(at + 1, "}")));
    }
    if (yyjson_mut_arr_size(parameters)) {
        set(w, item, "parameters", parameters);
    }
    set(w, w->paths, path, item);
    return item;
}

static const char *lower(const char *method)
{
    return strcmp(method, "GET") == 0     ? "get"
           : strcmp(method, "POST") == 0  ? "post"
           : strcmp(method, "PUT") == 0   ? "put"
           : strcmp(method, "PATCH") == 0 ? "patch"
                                          : "delete";
}

/* Every operation can meet a malformed URL, a wrong key, a web page's request, and a store or a
 * policy that is away. */
static void add_common_answers(struct writer *w, yyjson_mut_val *operation)
{
    static const char *const statuses[] = {"400", "401", "403", "503"};
    yyjson_mut_val *responses = yyjson_mut_obj_get(operation, "responses");
    if (!responses) {
        responses = parse(w, "{\"default\":{\"description\":\"an answer\"}}", 43);
        set(w, operation, "responses", responses);
    }
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        if (!yyjson_mut_obj_get(responses, statuses[i])) {
            yyjson_mut_val *ref = yyjson_mut_obj(w->doc);
            (void)yyjson_mut_obj_add_str(w->doc, ref, "$ref", "#/components/responses/Error");
            set(w, responses, statuses[i], ref);
        }
    }
}

static void add_scopes(struct writer *w, yyjson_mut_val *operation, uint32_t scopes)
{
    yyjson_mut_val *list = yyjson_mut_arr(w->doc);
    (void)yyjson_mut_arr_add_str(w->doc, list, "admin");
    if (scopes & WEIR_SCOPE_TENANT_ADMIN) {
        (void)yyjson_mut_arr_add_str(w->doc, list, "tenant_admin");
    }
    if (scopes & WEIR_SCOPE_METRICS) {
        (void)yyjson_mut_arr_add_str(w->doc, list, "metrics");
    }
    set(w, operation, "x-weir-scopes", list);
}

static void add_operation(void *arg, const struct weir_plugin_route_view *view)
{
    struct writer *w = arg;
    yyjson_mut_val *item = item_of(w, view->path);
    yyjson_mut_val *operation =
        view->openapi ? parse(w, view->openapi, strlen(view->openapi)) : yyjson_mut_obj(w->doc);
    if (!operation || yyjson_mut_obj_get(item, lower(view->method))) {
        return; /* the first of two is the one that runs */
    }
    set(w, operation, "summary", yyjson_mut_strcpy(w->doc, view->summary));
    yyjson_mut_val *tags = yyjson_mut_arr(w->doc);
    (void)yyjson_mut_arr_add_strcpy(w->doc, tags, view->plugin ? view->plugin : "weir");
    set(w, operation, "tags", tags);
    add_scopes(w, operation, view->scopes);
    add_common_answers(w, operation);
    set(w, item, lower(view->method), operation);
}

static void add_probe(struct writer *w, const char *path, const char *summary)
{
    static const char operation[] =
        "{\"security\":[],\"responses\":{\"200\":{\"description\":\"yes\",\"content\":{"
        "\"application/json\":{\"schema\":{\"type\":\"object\"}}}},\"503\":{\"description\":"
        "\"not now; the body says why\",\"content\":{\"application/json\":{\"schema\":{"
        "\"type\":\"object\"}}}}}}";
    yyjson_mut_val *op = parse(w, operation, sizeof(operation) - 1);
    if (op) {
        set(w, op, "summary", yyjson_mut_str(w->doc, summary));
        set(w, item_of(w, path), "get", op);
    }
}

static void add_paths(struct writer *w, const struct weir_plugin_chain *chain)
{
    size_t n_tables;
    const struct weir_admin_table *const *tables = weir_admin_tables(&n_tables);
    add_probe(w, "/healthz/live", "The event loops turn");
    add_probe(w, "/healthz/ready", "Every model can run and the server is not draining");
    add_probe(w, "/healthz/startup", "Every model was loaded once");
    for (size_t t = 0; t < n_tables; t++) {
        for (size_t i = 0; i < tables[t]->n; i++) {
            const struct weir_admin_route_row *row = &tables[t]->rows[i];
            add_operation(w, &(struct weir_plugin_route_view){.method = row->method,
                                                              .path = row->path,
                                                              .summary = row->summary,
                                                              .openapi = row->openapi,
                                                              .scopes = row->scopes});
        }
    }
    weir_plugin_chain_each_route(chain, add_operation, w);
}

/* ---- schemas ---- */

/* Our own formats are no others' words. */
static void rewrite_format(struct writer *w, yyjson_mut_val *object)
{
    yyjson_mut_val *format = yyjson_mut_obj_get(object, "format");
    const char *pattern = yyjson_mut_equals_str(format, "duration") ? "^[0-9]+(ms|s|m|h|d)$"
                          : yyjson_mut_equals_str(format, "bytes")  ? "^[0-9]+([KMGT]i?B?|B)?$"
                                                                    : NULL;
    if (format) {
        (void)yyjson_mut_obj_remove_key(object, "format");
    }
    if (pattern) {
        set(w, object, "pattern", yyjson_mut_str(w->doc, pattern));
    }
}

/* "#/$defs/NAME" to "#/components/schemas/NAME", all the way down; the schema is our own and not
 * deep. */
static void rewrite(struct writer *w, yyjson_mut_val *v)
{
    static const char from[] = "#/$defs/";
    if (yyjson_mut_is_arr(v)) {
        yyjson_mut_arr_iter it = yyjson_mut_arr_iter_with(v);
        for (yyjson_mut_val *item = yyjson_mut_arr_iter_next(&it); item;
             item = yyjson_mut_arr_iter_next(&it)) {
            rewrite(w, item);
        }
    }
    if (!yyjson_mut_is_obj(v)) {
        return;
    }
    const char *ref = yyjson_mut_get_str(yyjson_mut_obj_get(v, "$ref"));
    if (ref && strncmp(ref, from, sizeof(from) - 1) == 0) {
        char text[128];
        (void)snprintf(text, sizeof(text), "#/components/schemas/%s", ref + sizeof(from) - 1);
        set(w, v, "$ref", yyjson_mut_strcpy(w->doc, text));
    }
    if (yyjson_mut_is_str(yyjson_mut_obj_get(v, "format"))) {
        rewrite_format(w, v);
    }
    yyjson_mut_obj_iter it = yyjson_mut_obj_iter_with(v);
    for (yyjson_mut_val *key = yyjson_mut_obj_iter_next(&it); key;
         key = yyjson_mut_obj_iter_next(&it)) {
        rewrite(w, yyjson_mut_obj_iter_get_val(key));
    }
}

static void add_properties(struct writer *w, yyjson_mut_val *schema, const char *json)
{
    yyjson_mut_val *properties = yyjson_mut_obj_get(schema, "properties");
    yyjson_doc *more = yyjson_read(json, strlen(json), 0);
    size_t i, max;
    yyjson_val *key, *value;
    yyjson_obj_foreach(yyjson_doc_get_root(more), i, max, key, value)
    {
        set(w, properties, yyjson_get_str(key), yyjson_val_mut_copy(w->doc, value));
    }
    yyjson_doc_free(more);
}

/* What clients send, and what they get. */
static void add_tenant(struct writer *w, yyjson_mut_val *entry)
{
    /* Keys have routes of their own. */
    (void)yyjson_mut_obj_remove_key(yyjson_mut_obj_get(entry, "properties"), "keys");
    add_properties(w, entry, tenant_name);
    yyjson_mut_val *tenant = yyjson_mut_val_mut_copy(w->doc, entry);
    add_properties(w, tenant, read_only);
    set(w, w->schemas, "TenantEntry", entry);
    set(w, w->schemas, "Tenant", tenant);
}

static void add_schemas(struct writer *w)
{
    weir_str text = weir_config_schema();
    yyjson_doc *doc = yyjson_read(text.p, text.n, 0);
    yyjson_val *defs = yyjson_obj_get(yyjson_doc_get_root(doc), "$defs");
    size_t i, max;
    yyjson_val *key, *value;
    yyjson_obj_foreach(defs, i, max, key, value)
    {
        yyjson_mut_val *copy = yyjson_val_mut_copy(w->doc, value);
        rewrite(w, copy);
        if (yyjson_equals_str(key, "tenant")) {
            add_tenant(w, copy);
        } else {
            set(w, w->schemas, yyjson_get_str(key), copy);
        }
    }
    w->failed = w->failed || !defs;
    yyjson_doc_free(doc);
}

int weir_admin_openapi_write(const struct weir_plugin_chain *chain, struct weir_buf *out)
{
    struct writer w = {.doc = yyjson_mut_doc_new(NULL)};
    yyjson_mut_val *root = w.doc ? parse(&w, base, sizeof(base) - 1) : NULL;
    if (root) {
        yyjson_mut_doc_set_root(w.doc, root);
        w.paths = yyjson_mut_obj_get(root, "paths");
        w.schemas = yyjson_mut_obj_get(yyjson_mut_obj_get(root, "components"), "schemas");
        add_paths(&w, chain);
        add_schemas(&w);
    }
    size_t n = 0;
    char *text = root && !w.failed ? yyjson_mut_write(w.doc, 0, &n) : NULL;
    weir_buf_add_str(out, (weir_str){text, n});
    yyjson_mut_doc_free(w.doc);
    free(text);
    return text && !out->failed ? 0 : WEIR_E_NOMEM;
}
