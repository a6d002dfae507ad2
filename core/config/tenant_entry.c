/* SPDX-License-Identifier: Apache-2.0 */
#include "tenant_entry.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "core/config/config_internal.h"
#include "core/config/references.h"

enum { MAX_DOCUMENT_BYTES = WEIR_DOC_MAX_BYTES };

/* {"tenants": {NAME: ENTRY}}: the file that would say the same. */
static int parse(weir_str name, weir_str entry, struct weir_findings *findings,
                 struct weir_doc **ret_doc)
{
    struct weir_buf text;
    weir_buf_init(&text, MAX_DOCUMENT_BYTES);
    weir_buf_add_text(&text, "{\"tenants\": {");
    weir_buf_add_json_str(&text, name);
    weir_buf_add_text(&text, ": ");
    weir_buf_add_str(&text, entry);
    weir_buf_add_text(&text, "}}");
    int r = text.failed ? WEIR_E_NOMEM : weir_doc_parse(weir_buf_view(&text), findings, ret_doc);
    weir_buf_finish(&text);
    return r;
}

/* The findings' first, with its path as seen from the entry. */
static void fill_problem(const struct weir_findings *f, weir_str name,
                         struct weir_tenant_problem *ret)
{
    *ret = (struct weir_tenant_problem){0};
    if (f->n == 0) {
        (void)snprintf(ret->text, sizeof(ret->text), "cannot be read");
        return;
    }
    char prefix[100];
    int n = snprintf(prefix, sizeof(prefix), "tenants.%.*s", (int)name.n, name.p);
    const char *path = f->items[0].path;
    if (n > 0 && strncmp(path, prefix, (size_t)n) == 0) {
        path += n;
        path += *path == '.';
        (void)snprintf(ret->path, sizeof(ret->path), "%s", path);
    }
    (void)snprintf(ret->text, sizeof(ret->text), "%s", f->items[0].text);
}

static char *write_entry(yyjson_doc *json, weir_str name)
{
    yyjson_val *tenants = yyjson_obj_get(yyjson_doc_get_root(json), "tenants");
    return yyjson_val_write(yyjson_obj_getn(tenants, name.p, name.n), 0, NULL);
}

int weir_tenant_entry_check(const struct weir_config *config, weir_str name, weir_str entry,
                            char **ret_json, struct weir_tenant_problem *ret_problem)
{
    struct weir_findings findings;
    struct weir_doc *doc = NULL;
    yyjson_doc *json = NULL;
    weir_findings_init(&findings, "");
    int r = parse(name, entry, &findings, &doc);
    if (r == 0) {
        r = weir__config_check_shape(doc, &findings, &json);
    }
    if (r == 0 && config) {
        weir_references_check_tenants(weir_doc_find(weir_doc_root(config->doc), "models"),
                                      weir_doc_find(weir_doc_root(doc), "tenants"), &findings);
        r = weir_findings_malformed(&findings) ? WEIR_E_FORMAT : 0;
    }
    if (r == 0) {
        *ret_json = write_entry(json, name);
        r = *ret_json ? 0 : WEIR_E_NOMEM;
    }
    if (r < 0) {
        fill_problem(&findings, name, ret_problem);
    }
    yyjson_doc_free(json);
    weir_doc_destroy(doc);
    weir_findings_finish(&findings);
    return r;
}
