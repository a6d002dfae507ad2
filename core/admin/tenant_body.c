/* SPDX-License-Identifier: Apache-2.0 */
#include "tenant_body.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <xxhash.h>

#include "base/clock.h"
#include "core/api/json_body.h"
#include "core/config/tenant_entry.h"
#include "core/request/answer.h"
#include "core/server/server.h"

void weir_tenant_body_etag(const struct weir_tenant *t, char ret_etag[WEIR_ETAG_BYTES])
{
    if (t->entry.n) { /* a reload may change it while the record stays */
        (void)snprintf(ret_etag, WEIR_ETAG_BYTES, "\"%llu-%016llx\"",
                       (unsigned long long)t->record_number,
                       (unsigned long long)XXH3_64bits(t->json.p, t->json.n));
    } else {
        (void)snprintf(ret_etag, WEIR_ETAG_BYTES, "\"%llu\"", (unsigned long long)t->record_number);
    }
}

static void add_time(struct weir_buf *out, yyjson_val *record, const char *name)
{
    yyjson_val *value = yyjson_obj_get(record, name);
    if (yyjson_is_str(value)) {
        weir_buf_printf(out, ",\"%s\":", name);
        weir_buf_add_json_str(out, (weir_str){yyjson_get_str(value), yyjson_get_len(value)});
    }
}

void weir_tenant_body_write(const struct weir_tenant *t, struct weir_buf *out)
{
    yyjson_doc *record = t->record.n ? yyjson_read(t->record.p, t->record.n, 0) : NULL;
    weir_buf_add_text(out, "{\"name\":");
    weir_buf_add_json_str(out, t->name);
    weir_buf_printf(out, ",\"source\":\"%s\"", t->entry.n ? "config" : "api");
    if (!t->entry.n) {
        add_time(out, yyjson_doc_get_root(record), "created");
        add_time(out, yyjson_doc_get_root(record), "updated");
    }
    weir_buf_add_char(out, ',');
    weir_buf_add_str(out, (weir_str){t->json.p + 1, t->json.n - 1});
    yyjson_doc_free(record);
}

yyjson_doc *weir_tenant_body_parse(struct weir_request *r)
{
    struct weir_error err = {0};
    yyjson_doc *doc = NULL;
    if (weir_json_body_parse(weir_http_body(r->ex), NULL, &doc, &err) < 0) {
        weir_answer_error(r, 400, "", "invalid_json", "%s.", err.message);
    }
    return doc;
}

static void now_text(char out[32])
{
    time_t now = (time_t)(weir_clock_wall_us() / 1000000);
    struct tm tm;
    (void)gmtime_r(&now, &tm);
    (void)strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static char *write_record(yyjson_val *entry, yyjson_val *old_record, const char *state,
                          bool state_only)
{
    char now[32];
    now_text(now);
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_val *tenant = entry ? yyjson_val_mut_copy(doc, entry) : yyjson_mut_obj(doc);
    if (state) {
        (void)yyjson_mut_obj_remove_key(tenant, "state");
        (void)yyjson_mut_obj_add_str(doc, tenant, "state", state);
    }
    const char *created = yyjson_get_str(yyjson_obj_get(old_record, "created"));
    bool ok = yyjson_mut_obj_add_val(doc, root, "tenant", tenant) &&
              yyjson_mut_obj_add_strcpy(doc, root, "created", created ? created : now) &&
              yyjson_mut_obj_add_strcpy(doc, root, "updated", now) &&
              (!state_only || yyjson_mut_obj_add_bool(doc, root, "state_only", true));
    char *text = ok ? yyjson_mut_write(doc, 0, NULL) : NULL;
    yyjson_mut_doc_free(doc);
    return text;
}

/* What can only be read goes; a name that is not the tenant's is a mistake. */
static char *strip(struct weir_request *r, weir_str name, yyjson_val *entry)
{
    static const char *const read_only[] = {"name", "source", "created", "updated"};
    yyjson_val *given = yyjson_obj_get(entry, "name");
    if (given && !(yyjson_is_str(given) &&
                   weir_str_eq((weir_str){yyjson_get_str(given), yyjson_get_len(given)}, name))) {
        weir_answer_error(r, 400, "name", "invalid_value", "A tenant's name cannot be changed.");
        return NULL;
    }
    if (yyjson_obj_get(entry, "keys")) {
        weir_answer_error(r, 400, "keys", "invalid_value",
                          "Keys are made under /admin/v1/tenants/%.*s/keys.", (int)name.n, name.p);
        return NULL;
    }
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *copy = yyjson_val_mut_copy(doc, entry);
    for (size_t i = 0; copy && i < sizeof(read_only) / sizeof(read_only[0]); i++) {
        (void)yyjson_mut_obj_remove_key(copy, read_only[i]);
    }
    char *text = copy ? yyjson_mut_val_write(copy, 0, NULL) : NULL;
    yyjson_mut_doc_free(doc);
    if (!text) {
        weir_answer_error(r, 503, "", "out_of_memory", "No memory for this request now.");
    }
    return text;
}

/* With defaults, judged as the file's entries are. */
static char *check(struct weir_request *r, weir_str name, const char *entry)
{
    struct weir_config *config = weir_server_config(weir_worker_server(r->worker));
    struct weir_tenant_problem problem;
    char *checked = NULL;
    int rc = weir_tenant_entry_check(config, name, weir_str_from(entry), &checked, &problem);
    weir_config_unref(config);
    if (rc < 0) {
        weir_answer_error(r, 400, problem.path, "invalid_value", "%s%s%s.", problem.path,
                          *problem.path ? ": " : "The tenant ", problem.text);
        return NULL;
    }
    return checked;
}

char *weir_tenant_body_record(struct weir_request *r, weir_str name, yyjson_val *entry,
                              const struct weir_tenant *old)
{
    char *stripped = strip(r, name, entry);
    char *checked = stripped ? check(r, name, stripped) : NULL;
    free(stripped);
    if (!checked) {
        return NULL;
    }
    yyjson_doc *doc = yyjson_read(checked, strlen(checked), 0);
    yyjson_doc *before = old ? yyjson_read(old->record.p, old->record.n, 0) : NULL;
    yyjson_val *root = yyjson_doc_get_root(doc);
    const char *state = yyjson_obj_get(root, "state") ? NULL
                        : old                         ? weir_tenant_state_name(old->state)
                                                      : "active";
    char *record = doc ? write_record(root, yyjson_doc_get_root(before), state, false) : NULL;
    yyjson_doc_free(doc);
    yyjson_doc_free(before);
    free(checked);
    if (!record) {
        weir_answer_error(r, 503, "", "out_of_memory", "No memory for this request now.");
    }
    return record;
}

char *weir_tenant_body_restate(const struct weir_tenant *old, enum weir_tenant_state state)
{
    yyjson_doc *before = old->record.n ? yyjson_read(old->record.p, old->record.n, 0) : NULL;
    yyjson_val *record = yyjson_doc_get_root(before);
    bool configured = old->entry.n > 0;
    yyjson_val *entry = configured ? NULL : yyjson_obj_get(record, "tenant");
    char *text = write_record(entry, record, weir_tenant_state_name(state), configured);
    yyjson_doc_free(before);
    return text;
}
