/* SPDX-License-Identifier: Apache-2.0 */
/* Reading versions: one with its source, or all of a tenant without. */
#include <stdio.h>
#include <stdlib.h>
#include <yyjson.h>

#include "admin_op.h"

enum { LIST_STEP = 16 };

static void version_found_to_show(void *arg, const weir_store_result *result)
{
    struct admin_op *op = arg;
    if (result->rc < 0) {
        admin_op_fail(op, result->rc);
        return;
    }
    yyjson_doc *doc = yyjson_read(result->value.p, result->value.n, 0);
    yyjson_mut_doc *d = doc ? yyjson_doc_mut_copy(doc, NULL) : NULL;
    char *body = NULL;
    if (d) {
        (void)yyjson_mut_obj_add_uint(d, yyjson_mut_doc_get_root(d), "version", op->version);
        body = yyjson_mut_write(d, 0, NULL);
    }
    admin_op_answer(op, 200, false, body);
    free(body);
    yyjson_mut_doc_free(d);
    yyjson_doc_free(doc);
}

int admin_get_version(void *arg, weir_req *r)
{
    struct admin_op *op;
    int rc = admin_op_begin(arg, r, false, &op);
    if (rc == WEIR_SUSPEND) {
        admin_op_find_version(op, version_found_to_show);
    }
    return rc;
}

/* Appends to the list that the answer will have. */
static bool append(struct admin_op *op, const char *text)
{
    size_t n = strlen(text);
    char *more = realloc(op->list, op->n_list + n + 2);
    if (!more) {
        return false;
    }
    op->list = more;
    if (op->n_list) {
        op->list[op->n_list++] = ',';
    }
    memcpy(op->list + op->n_list, text, n + 1);
    op->n_list += n;
    return true;
}

static bool append_version(struct admin_op *op, const weir_store_item *item)
{
    yyjson_doc *doc = yyjson_read(item->value.p, item->value.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_mut_doc *d = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *o = yyjson_mut_obj(d);
    char name[16] = "";
    const char *comment = yyjson_get_str(yyjson_obj_get(root, "comment"));
    const char *by = yyjson_get_str(yyjson_obj_get(root, "created_by"));
    memcpy(name, item->key.p, item->key.n < sizeof(name) ? item->key.n : sizeof(name) - 1);
    yyjson_mut_doc_set_root(d, o);
    (void)yyjson_mut_obj_add_uint(d, o, "version", strtoul(name, NULL, 10));
    (void)yyjson_mut_obj_add_str(d, o, "comment", comment ? comment : "");
    (void)yyjson_mut_obj_add_uint(d, o, "created",
                                  yyjson_get_uint(yyjson_obj_get(root, "created")));
    (void)yyjson_mut_obj_add_str(d, o, "created_by", by ? by : "");
    (void)yyjson_mut_obj_add_uint(d, o, "bytes", yyjson_get_len(yyjson_obj_get(root, "source")));
    char *text = yyjson_mut_write(d, 0, NULL);
    bool good = text && append(op, text);
    free(text);
    yyjson_mut_doc_free(d);
    yyjson_doc_free(doc);
    return good;
}

static void answer_list(struct admin_op *op, bool with_head)
{
    char *head = with_head ? admin_op_head_body(op) : NULL;
    size_t n = op->n_list + (head ? strlen(head) : 0) + 64;
    char *body = malloc(n);
    if (body) { /* the head is an object: its members go into this one */
        (void)snprintf(body, n, "{\"object\":\"list\",\"data\":[%s]%s%s", op->list ? op->list : "",
                       head ? "," : "}", head ? head + 1 : "");
    }
    admin_op_answer(op, 200, with_head, body);
    free(body);
    free(head);
}

static void list_versions(struct admin_op *op, weir_str after);

static void versions_listed(void *arg, const weir_store_result *result)
{
    struct admin_op *op = arg;
    bool good = result->rc >= 0;
    for (uint32_t i = 0; good && i < result->n_items; i++) {
        good = append_version(op, &result->items[i]);
    }
    if (!good) {
        admin_op_fail(op, result->rc < 0 ? result->rc : WEIR_E_NOMEM);
    } else if (result->more && result->n_items) {
        list_versions(op, result->items[result->n_items - 1].key);
    } else {
        answer_list(op, true);
    }
}

static void list_versions(struct admin_op *op, weir_str after)
{
    const struct lua_plugin *p = op->p;
    int rc = p->store->list(p->host, weir_str_from(op->tenant), weir_str_from(RECORDS_VERSIONS),
                            after, LIST_STEP, versions_listed, op);
    if (rc < 0) {
        admin_op_fail(op, rc);
    }
}

static void head_found_to_list(void *arg, const weir_store_result *result)
{
    struct admin_op *op = arg;
    if (admin_op_read_head(op, result)) {
        list_versions(op, (weir_str){NULL, 0});
    }
}

int admin_get_versions(void *arg, weir_req *r)
{
    struct admin_op *op;
    int rc = admin_op_begin(arg, r, false, &op);
    if (rc == WEIR_SUSPEND) {
        admin_op_find_head(op, head_found_to_list);
    }
    return rc;
}
