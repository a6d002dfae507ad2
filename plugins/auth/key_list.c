/* SPDX-License-Identifier: Apache-2.0 */
#include "key_list.h"

#include <stdio.h>
#include <stdlib.h>

#include "key_body.h"

enum {
    DEFAULT_LIMIT = 100,
    MAX_LIMIT = 1000,
    CURSOR_BYTES = AUTH_MAX_TENANT_BYTES + 1 + AUTH_ID_BYTES + 1
};

struct key_list {
    struct key_op *op; /* the request's side; op->name.tenant is where we are */
    bool all;          /* go on with the next tenant */
    uint32_t limit, n; /* keys of the store */
    uint32_t n_tenants;
    char after[AUTH_ID_BYTES + 1]; /* the key to go on behind; empty: at the tenant's beginning */
    char next[CURSOR_BYTES];       /* empty: this was all */
    char *data;                    /* the keys' JSON, joined by commas */
    size_t len;
    bool failed;
    int rc;
    bool came, more; /* the last page: is it here, does it go on */
    bool looping;    /* a store that answers at once does not make it recurse */
};

static void add(struct key_list *l, char *json)
{
    size_t n = json ? strlen(json) : 0;
    char *more = json ? realloc(l->data, l->len + n + 2) : NULL;
    if (more) {
        l->data = more;
        if (l->len) {
            more[l->len++] = ',';
        }
        memcpy(more + l->len, json, n + 1);
        l->len += n;
    }
    l->failed = l->failed || !more;
    free(json);
}

static void add_configured(struct key_list *l)
{
    const struct auth *a = l->op->auth;
    for (uint32_t i = 0; i < auth_keys_count(a->keys); i++) {
        const struct auth_key *key = auth_keys_at(a->keys, i);
        bool hidden = l->op->bound && (key->scopes & (WEIR_SCOPE_ADMIN | WEIR_SCOPE_METRICS));
        if (weir_str_eq(key->tenant, l->op->name.tenant) && !hidden) {
            add(l, auth_body_show_configured(key));
        }
    }
}

static void end(struct key_list *l, int rc)
{
    struct key_op *op = l->op;
    size_t size = l->len + sizeof(l->next) + 100;
    char *body = rc == 0 && !l->failed ? malloc(size) : NULL;
    if (body) {
        const char *quote = *l->next ? "\"" : "";
        (void)snprintf(body, size,
                       "{\"object\":\"list\",\"data\":[%s],\"has_more\":%s,\"next\":%s%s%s}",
                       l->data ? l->data : "", *l->next ? "true" : "false", quote,
                       *l->next ? l->next : "null", quote);
        key_op_answer(op, 200, NULL, body);
    } else {
        key_op_fail(op, rc < 0 ? rc : WEIR_E_NOMEM);
    }
    free(body);
    free(l->data);
    free(l);
}

/* Moves on to the tenant behind this one; false: there is none, or it is for the next page. */
static bool next_tenant(struct key_list *l)
{
    struct key_op *op = l->op;
    weir_str name;
    if (!l->all || op->auth->tenants->list(op->auth->host, op->name.tenant, &name, 1) != 1) {
        return false;
    }
    (void)snprintf(op->tenant, sizeof(op->tenant), "%.*s", (int)name.n, name.p);
    op->name.tenant = weir_str_from(op->tenant);
    l->after[0] = '\0';
    if (++l->n_tenants == KEY_LIST_MAX_TENANTS || l->n == l->limit) {
        (void)snprintf(l->next, sizeof(l->next), "%s/", op->tenant);
        return false;
    }
    return true;
}

static void take(struct key_list *l, const weir_store_item *item)
{
    struct key_op *op = l->op;
    (void)snprintf(l->after, sizeof(l->after), "%.*s", (int)item->key.n, item->key.p);
    l->n++;
    bool hidden =
        op->bound && (auth_body_scopes(item->value) & (WEIR_SCOPE_ADMIN | WEIR_SCOPE_METRICS));
    if (!hidden) {
        add(l, auth_body_show((struct auth_name){op->name.tenant, item->key}, item->value, NULL));
    }
}

static void read_on(struct key_list *l);

static void page_came(void *arg, const weir_store_result *page)
{
    struct key_list *l = arg;
    l->rc = page->rc;
    for (uint32_t i = 0; l->rc == 0 && i < page->n_items; i++) {
        take(l, &page->items[i]);
    }
    l->more = l->rc == 0 && page->more && page->n_items;
    if (l->more && l->n >= l->limit) {
        (void)snprintf(l->next, sizeof(l->next), "%s%s%s", l->all ? l->op->tenant : "",
                       l->all ? "/" : "", l->after);
        l->more = false;
    } else if (l->rc == 0 && !l->more) {
        l->more = next_tenant(l);
    }
    l->came = true;
    if (!l->looping) {
        read_on(l);
    }
}

static void ask(struct key_list *l)
{
    struct auth *a = l->op->auth;
    if (l->after[0] == '\0') {
        add_configured(l);
    }
    l->came = false;
    l->rc = a->store->list(a->host, l->op->name.tenant, weir_str_from(AUTH_COLLECTION),
                           weir_str_from(l->after), l->limit - l->n, page_came, l);
    if (l->rc < 0) {
        l->came = true;
        l->more = false;
    }
}

/* Page after page, as far as the store answers at once. */
static void read_on(struct key_list *l)
{
    l->looping = true;
    while (l->came && l->more) {
        ask(l);
    }
    l->looping = false;
    if (l->came) {
        end(l, l->rc);
    }
}

static bool read_limit(const struct auth *a, weir_req *r, uint32_t *ret_limit)
{
    weir_str text;
    *ret_limit = DEFAULT_LIMIT;
    if (a->admin->query(a->host, r, "limit", &text) < 0) {
        return true;
    }
    uint32_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9' || i == 4) {
            return false;
        }
        n = n * 10 + (uint32_t)(text.p[i] - '0');
    }
    *ret_limit = n;
    return n >= 1 && n <= MAX_LIMIT;
}

/* "TENANT/KEY", or "KEY" where the tenant is fixed. */
static void read_cursor(struct key_list *l, weir_str after)
{
    const char *slash = after.n ? memchr(after.p, '/', after.n) : NULL;
    if (l->all && slash && (size_t)(slash - after.p) <= AUTH_MAX_TENANT_BYTES) {
        (void)snprintf(l->op->tenant, sizeof(l->op->tenant), "%.*s", (int)(slash - after.p),
                       after.p);
        l->op->name.tenant = weir_str_from(l->op->tenant);
        after = (weir_str){slash + 1, after.n - (size_t)(slash + 1 - after.p)};
    }
    (void)snprintf(l->after, sizeof(l->after), "%.*s",
                   (int)(after.n <= AUTH_ID_BYTES ? after.n : 0), after.p);
}

static int begin(struct auth *a, weir_req *r, bool all)
{
    weir_str after = {NULL, 0};
    struct key_op *op = NULL;
    uint32_t limit;
    if (!read_limit(a, r, &limit)) {
        (void)a->host->deny(a->host, r, 400, (weir_str){NULL, 0}, weir_str_from("invalid_value"),
                            weir_str_from("limit must be a number from 1 to 1000."));
        return WEIR_DENY;
    }
    (void)a->admin->query(a->host, r, "after", &after);
    struct key_list *l = calloc(1, sizeof(*l));
    int rc = l ? key_op_begin_list(a, r, all, &op) : WEIR_E_NOMEM;
    if (rc != WEIR_SUSPEND) {
        free(l);
        return rc;
    }
    l->op = op;
    l->all = all && !op->bound;
    l->limit = limit;
    read_cursor(l, after);
    if (op->name.tenant.n == 0 && !next_tenant(l)) { /* there is no tenant at all */
        end(l, 0);
        return WEIR_SUSPEND;
    }
    l->came = true;
    l->more = true;
    read_on(l);
    return WEIR_SUSPEND;
}

int key_list_tenant(void *arg, weir_req *r)
{
    return begin(arg, r, false);
}

int key_list_all(void *arg, weir_req *r)
{
    return begin(arg, r, true);
}
