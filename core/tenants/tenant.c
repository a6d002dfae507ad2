/* SPDX-License-Identifier: Apache-2.0 */
#include "tenant.h"

#include <stdlib.h>
#include <yyjson.h>

#include "base/buf.h"

enum { MAX_JSON_BYTES = 8 * 1024 * 1024 };

const char *weir_tenant_state_name(enum weir_tenant_state state)
{
    static const char *const names[] = {"active", "suspended", "deleting", "absent"};
    return names[state];
}

bool weir_tenant_name_is_valid(weir_str name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && (i == 0 || (c != '.' && c != '-' && c != '_'))) {
            return false;
        }
    }
    return name.n > 0 && name.n <= WEIR_TENANT_MAX_NAME_BYTES;
}

static enum weir_tenant_state state_of(yyjson_val *object)
{
    yyjson_val *state = yyjson_obj_get(object, "state");
    return yyjson_equals_str(state, "suspended")  ? WEIR_TENANT_SUSPENDED
           : yyjson_equals_str(state, "deleting") ? WEIR_TENANT_DELETING
                                                  : WEIR_TENANT_ACTIVE;
}

/* The entry without keys, and its state as it holds now. */
static void add_json(struct weir_buf *b, yyjson_val *entry, enum weir_tenant_state state)
{
    weir_buf_printf(b, "{\"state\":\"%s\"", weir_tenant_state_name(state));
    size_t i, max;
    yyjson_val *key, *value;
    yyjson_obj_foreach(entry, i, max, key, value)
    {
        if (yyjson_equals_str(key, "state") || yyjson_equals_str(key, "keys")) {
            continue;
        }
        size_t n = 0;
        char *text = yyjson_val_write(value, 0, &n);
        weir_buf_add_char(b, ',');
        weir_buf_add_json_str(b, (weir_str){yyjson_get_str(key), yyjson_get_len(key)});
        weir_buf_add_char(b, ':');
        weir_buf_add_str(b, (weir_str){text, n});
        b->failed = b->failed || !text;
        free(text);
    }
    weir_buf_add_char(b, '}');
}

static int order(weir_str a, weir_str b)
{
    int r = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return r ? r : (a.n > b.n) - (a.n < b.n);
}

static int by_name(const void *a, const void *b)
{
    return order(*(const weir_str *)a, *(const weir_str *)b);
}

/* Copies text behind *at, which moves on, NUL-ended. */
static weir_str put_text(char **at, weir_str text)
{
    weir_str copy = {*at, text.n};
    if (text.n) {
        memcpy(*at, text.p, text.n);
    }
    (*at)[text.n] = '\0';
    *at += text.n + 1;
    return copy;
}

static size_t list_bytes(yyjson_val *names)
{
    size_t n = 0, i, max;
    yyjson_val *m;
    yyjson_arr_foreach(names, i, max, m)
    {
        n += sizeof(weir_str) + yyjson_get_len(m) + 1;
    }
    return n;
}

/* The names as a sorted list at `list`, their texts at *at. Gives how many. */
static size_t put_list(weir_str *list, char **at, yyjson_val *names)
{
    size_t n = 0, i, max;
    yyjson_val *m;
    yyjson_arr_foreach(names, i, max, m)
    {
        if (yyjson_is_str(m)) {
            list[n++] = put_text(at, (weir_str){yyjson_get_str(m), yyjson_get_len(m)});
        }
    }
    qsort(list, n, sizeof(list[0]), by_name);
    return n;
}

/* One block of memory holds the tenant and all its texts. */
static struct weir_tenant *build(weir_str name, weir_str entry_text, weir_str record_text,
                                 yyjson_val *entry, enum weir_tenant_state state)
{
    struct weir_buf json;
    weir_buf_init(&json, MAX_JSON_BYTES);
    add_json(&json, entry, state);
    yyjson_val *models = yyjson_obj_get(entry, "models");
    yyjson_val *regions = yyjson_obj_get(entry, "regions");
    size_t n_names = yyjson_arr_size(models) + yyjson_arr_size(regions);
    struct weir_tenant *t =
        json.failed ? NULL
                    : calloc(1, sizeof(*t) + list_bytes(models) + list_bytes(regions) + name.n +
                                    json.len + entry_text.n + record_text.n + 4);
    if (t) {
        weir_str *list = (weir_str *)(void *)(t + 1);
        char *at = (char *)(list + n_names);
        t->models = list;
        t->n_models = put_list(list, &at, models);
        t->regions = list + t->n_models;
        t->n_regions = put_list(list + t->n_models, &at, regions);
        t->name = put_text(&at, name);
        t->json = put_text(&at, weir_buf_view(&json));
        t->entry = put_text(&at, entry_text);
        t->record = put_text(&at, record_text);
        t->state = state;
        t->resources = weir_tenant_resources_read(yyjson_obj_get(entry, "resources"));
        const char *tier = yyjson_get_str(yyjson_obj_get(entry, "tier"));
        t->has_class = tier && weir_class_parse(weir_str_from(tier), &t->service_class) == 0;
    }
    weir_buf_finish(&json);
    return t;
}

struct weir_tenant *weir_tenant_create(weir_str name, weir_str entry, weir_str record,
                                       uint64_t record_number)
{
    yyjson_doc *entry_doc = entry.n ? yyjson_read(entry.p, entry.n, 0) : NULL;
    yyjson_doc *record_doc = record.n ? yyjson_read(record.p, record.n, 0) : NULL;
    yyjson_val *configured = yyjson_doc_get_root(entry_doc);
    yyjson_val *kept = yyjson_obj_get(yyjson_doc_get_root(record_doc), "tenant");
    struct weir_tenant *t = NULL;
    if (configured) {
        /* Either of both can suspend it, so that neither can undo the other in silence. */
        bool suspended = state_of(configured) == WEIR_TENANT_SUSPENDED ||
                         state_of(kept) == WEIR_TENANT_SUSPENDED;
        t = build(name, entry, record, configured,
                  suspended ? WEIR_TENANT_SUSPENDED : WEIR_TENANT_ACTIVE);
    } else if (yyjson_is_obj(kept)) {
        bool alone = yyjson_is_true(yyjson_obj_get(yyjson_doc_get_root(record_doc), "state_only"));
        t = build(name, entry, record, kept, alone ? WEIR_TENANT_ABSENT : state_of(kept));
    }
    if (t) {
        t->record_number = record_number;
    }
    yyjson_doc_free(entry_doc);
    yyjson_doc_free(record_doc);
    return t;
}

void weir_tenant_destroy(struct weir_tenant *tenant)
{
    free(tenant);
}

bool weir_tenant_may_use(const struct weir_tenant *tenant, weir_str model)
{
    return tenant->n_models == 0 ||
           bsearch(&model, tenant->models, tenant->n_models, sizeof(model), by_name) != NULL;
}
