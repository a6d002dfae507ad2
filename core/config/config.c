/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>

#include "core/config/config_internal.h"
#include "core/config/references.h"
#include "core/config/rules.h"
#include "core/config/schema.h"

enum { ARENA_BYTES = 64 * 1024 * 1024 };

/* config/schema/weir.schema.json, put into the binary by config/meson.build. */
extern const char weir__config_schema_text[];
extern const size_t weir__config_schema_text_bytes;

static void destroy(struct weir_config *config)
{
    weir_doc_destroy(config->doc);
    yyjson_doc_free(config->json);
    weir_arena_finish(&config->arena);
    free(config);
}

weir_str weir_config_schema(void)
{
    return (weir_str){weir__config_schema_text, weir__config_schema_text_bytes};
}

/* The built-in schema is part of the program: its mistakes are the program's. */
static int load_schema(struct weir_schema **ret_schema)
{
    struct weir_findings own;
    weir_findings_init(&own, "weir.schema.json");
    int r = weir_schema_load(weir_config_schema(), &own, ret_schema);
    weir_findings_finish(&own);
    return r;
}

int weir__config_check_shape(const struct weir_doc *doc, struct weir_findings *findings,
                             yyjson_doc **ret_json)
{
    struct weir_schema *schema = NULL;
    int r = load_schema(&schema);
    if (r == 0) {
        r = weir_schema_check(schema, weir_doc_root(doc), findings, ret_json);
    }
    weir_schema_destroy(schema);
    return r;
}

/* Takes the document. */
static int load_document(struct weir_doc *doc, struct weir_findings *findings, bool with_rules,
                         struct weir_config **ret_config)
{
    struct weir_config *config = calloc(1, sizeof(*config));
    if (!config) {
        weir_doc_destroy(doc);
        return WEIR_E_NOMEM;
    }
    atomic_init(&config->n_refs, 1);
    weir_arena_init(&config->arena, ARENA_BYTES);
    config->doc = doc;
    config->file = weir_arena_strdup(&config->arena, findings->file);
    int r = weir__config_check_shape(doc, findings, &config->json);
    if (r == 0) {
        weir_references_check(weir_doc_root(doc), findings);
        r = weir_findings_malformed(findings) ? WEIR_E_FORMAT : weir__config_build(config);
    }
    if (r == 0 && with_rules) {
        weir_rules_judge(weir_doc_root(doc), findings);
    }
    weir_findings_sort(findings);
    if (r < 0) {
        destroy(config);
        return r;
    }
    *ret_config = config;
    return 0;
}

int weir_config_parse(weir_str text, struct weir_findings *findings, bool with_rules,
                      struct weir_config **ret_config)
{
    struct weir_doc *doc = NULL;
    int r = weir_doc_parse(text, findings, &doc);
    return r < 0 ? r : load_document(doc, findings, with_rules, ret_config);
}

int weir_config_load(struct weir_findings *findings, bool with_rules,
                     struct weir_config **ret_config)
{
    struct weir_doc *doc = NULL;
    int r = weir_doc_read(findings, &doc);
    return r < 0 ? r : load_document(doc, findings, with_rules, ret_config);
}

struct weir_config *weir_config_ref(struct weir_config *config)
{
    /* relaxed: the caller holds a reference, so the object cannot vanish meanwhile */
    atomic_fetch_add_explicit(&config->n_refs, 1, memory_order_relaxed);
    return config;
}

void weir_config_unref(struct weir_config *config)
{
    if (!config) {
        return;
    }
    /* release: our reads happen before another thread's destroy; acquire: theirs before ours */
    if (atomic_fetch_sub_explicit(&config->n_refs, 1, memory_order_acq_rel) == 1) {
        destroy(config);
    }
}

const struct weir_config_model *weir_config_model_find(const struct weir_config *config,
                                                       weir_str name)
{
    for (size_t i = 0; i < config->n_models; i++) {
        if (weir_str_is(name, config->models[i].name)) {
            return &config->models[i];
        }
    }
    return NULL;
}

static int order_of_names(const void *name, const void *tenant)
{
    const struct weir_config_tenant *t = tenant;
    const weir_str *wanted = name;
    size_t n = strlen(t->name);
    int order = memcmp(wanted->p, t->name, wanted->n < n ? wanted->n : n);
    return order ? order : (wanted->n > n) - (wanted->n < n);
}

const struct weir_config_tenant *weir_config_tenant_find(const struct weir_config *config,
                                                         weir_str name)
{
    if (config->n_tenants == 0 || name.n == 0) {
        return NULL;
    }
    return bsearch(&name, config->tenants, config->n_tenants, sizeof(config->tenants[0]),
                   order_of_names);
}
