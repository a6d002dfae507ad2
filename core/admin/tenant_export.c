/* SPDX-License-Identifier: Apache-2.0 */
#include "tenant_export.h"

#include <stdlib.h>

#include "core/admin/call.h"
#include "core/admin/tenant_body.h"
#include "core/request/answer.h"
#include "core/server/server.h"

enum { MAX_EXPORT_BYTES = 64 * 1024 * 1024, PAGE = 256 };

struct export
{ /* in the request's arena, which the hold keeps */
    struct weir_request *request;
    weir_str name;
    struct weir_buf out;
    size_t collection; /* its place among the chain's */
    char *const *hidden;
    size_t n_records; /* of the collection, written so far */
    weir_str after;
    bool failed;
    bool looping, go_on; /* a store that answers at once does not make it recurse */
};

static void end(struct export *e)
{
    weir_buf_finish(&e->out);
    weir_request_drop(e->request, WEIR_HOLD_ADMIN);
}

static void finish(struct export *e)
{
    weir_buf_add_text(&e->out, "}}");
    if (e->out.failed) {
        weir_answer_error(e->request, 500, "", "too_large", "The export is larger than 64 MiB.");
    } else {
        weir_answer_json(e->request, 200, weir_buf_view(&e->out));
    }
    end(e);
}

static void write_record(struct export *e, const weir_store_item *item)
{
    yyjson_doc *doc = yyjson_read(item->value.p, item->value.n, 0);
    yyjson_mut_doc *copy = doc ? yyjson_doc_mut_copy(doc, NULL) : NULL;
    yyjson_mut_val *root = yyjson_mut_doc_get_root(copy);
    for (size_t i = 0; e->hidden[i]; i++) {
        (void)yyjson_mut_obj_remove_key(root, e->hidden[i]);
    }
    size_t n = 0;
    char *text = copy ? yyjson_mut_write(copy, 0, &n) : NULL;
    weir_buf_add_text(&e->out, e->n_records++ ? ",{\"id\":" : "{\"id\":");
    weir_buf_add_json_str(&e->out, item->key);
    weir_buf_add_text(&e->out, ",\"record\":");
    weir_buf_add_str(&e->out, text ? (weir_str){text, n} : (weir_str)WEIR_STR_INIT("null"));
    weir_buf_add_char(&e->out, '}');
    free(text);
    yyjson_mut_doc_free(copy);
    yyjson_doc_free(doc);
}

static void next_page(struct export *e);

static void page_came(void *arg, const weir_store_result *page)
{
    struct export *e = arg;
    e->failed = page->rc < 0;
    for (uint32_t i = 0; !e->failed && i < page->n_items; i++) {
        write_record(e, &page->items[i]);
    }
    if (page->more && page->n_items) {
        e->after = weir_arena_copy(&e->request->arena, page->items[page->n_items - 1].key);
    } else {
        weir_buf_add_char(&e->out, ']');
        e->collection++;
        e->n_records = 0;
        e->after = (weir_str){NULL, 0};
    }
    e->go_on = true;
    if (!e->looping) {
        next_page(e);
    }
}

static bool ask(struct export *e, const char *collection)
{
    struct weir_store_call c = {.op = WEIR_STORE_LIST,
                                .tenant = e->name,
                                .key = weir_str_from(collection),
                                .id = e->after,
                                .n = PAGE};
    return weir_store_call(weir_worker_server(e->request->worker)->store, &c, page_came, e) >= 0;
}

static void begin_collection(struct export *e, const char *collection)
{
    weir_buf_add_text(&e->out, e->collection ? "," : "");
    weir_buf_add_json_str(&e->out, weir_str_from(collection));
    weir_buf_add_text(&e->out, ":[");
}

static void next_page(struct export *e)
{
    e->looping = true;
    do {
        e->go_on = false;
        if (e->failed) {
            weir_answer_error(e->request, 503, "", "store_unavailable",
                              "The store cannot be read now.");
            end(e);
            return;
        }
        const char *collection =
            weir_plugin_chain_export(e->request->admin->plugin.chain, e->collection, &e->hidden);
        if (!collection) {
            finish(e);
            return;
        }
        if (e->after.n == 0) {
            begin_collection(e, collection);
        }
        if (!ask(e, collection)) {
            e->failed = true;
            e->go_on = true;
        }
    } while (e->go_on);
    e->looping = false;
}

void weir_tenant_export(struct weir_request *r)
{
    weir_str name = weir_admin_param(r, "tenant");
    const struct weir_tenant *t = weir_tenants_find(weir_worker_server(r->worker)->tenants, name);
    if (!t || t->state == WEIR_TENANT_DELETING) {
        weir_admin_answer_no_tenant(r, name);
        return;
    }
    struct export *e = weir_arena_alloc(&r->arena, sizeof(*e));
    if (!e) {
        weir_answer_error(r, 503, "", "out_of_memory", "No memory for this request now.");
        return;
    }
    *e = (struct export){.request = r, .name = name};
    weir_buf_init(&e->out, MAX_EXPORT_BYTES);
    weir_buf_add_text(&e->out, "{\"tenant\":");
    weir_tenant_body_write(t, &e->out);
    weir_buf_add_text(&e->out, ",\"collections\":{");
    weir_request_hold(r, WEIR_HOLD_ADMIN);
    next_page(e);
}
