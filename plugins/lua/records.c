/* SPDX-License-Identifier: Apache-2.0 */
#include "records.h"

#include <stdio.h>
#include <stdlib.h>
#include <yyjson.h>

enum { LIST_EVERY_MS = 30000, LIST_AGAIN_MS = 1000, LIST_STEP = 256, N_ROLES = 3 };

struct records {
    struct lua_plugin *p;
    uint64_t timer, retry;
    char after[LUA_MAX_TENANT_BYTES + 1]; /* where the listing is */
    bool listing, again;
    bool waits;       /* for a page of the listing */
    bool is_calling;  /* the store for one, and it may answer meanwhile */
    uint32_t syncing; /* that the listing began */
};

/* One reading of a tenant's head and of the versions that it names. */
struct sync {
    struct records *r;
    uint64_t head_version;
    struct head head;
    struct lua_version *roles[N_ROLES]; /* active, canary, shadow */
    int at;                             /* role that is being read */
    bool of_listing;
    void (*done)(void *arg);
    void *arg;
    char tenant[LUA_MAX_TENANT_BYTES + 1];
};

/* ---- heads ---- */

static uint32_t read_u32(yyjson_val *root, const char *key)
{
    yyjson_val *v = yyjson_obj_get(root, key);
    return yyjson_is_uint(v) && yyjson_get_uint(v) <= UINT32_MAX ? (uint32_t)yyjson_get_uint(v) : 0;
}

void head_read(weir_str json, struct head *h)
{
    yyjson_doc *doc = json.n ? yyjson_read(json.p, json.n, 0) : NULL;
    yyjson_val *root = yyjson_doc_get_root(doc), *item;
    size_t i, max;
    *h = (struct head){.next = read_u32(root, "next"),
                       .active = read_u32(root, "active"),
                       .canary = read_u32(root, "canary"),
                       .shadow = read_u32(root, "shadow"),
                       .percent = yyjson_get_num(yyjson_obj_get(root, "percent"))};
    h->next = h->next ? h->next : 1;
    yyjson_arr_foreach(yyjson_obj_get(root, "history"), i, max, item)
    {
        if (h->n_history < HEAD_MAX_HISTORY && yyjson_is_uint(item)) {
            h->history[h->n_history++] = (uint32_t)yyjson_get_uint(item);
        }
    }
    yyjson_doc_free(doc);
}

weir_str head_write(const struct head *h, char out[HEAD_JSON_BYTES])
{
    int n = snprintf(out, HEAD_JSON_BYTES,
                     "{\"next\":%u,\"active\":%u,\"canary\":%u,\"percent\":%.2f,\"shadow\":%u,"
                     "\"history\":[",
                     h->next, h->active, h->canary, h->percent, h->shadow);
    for (uint32_t i = 0; i < h->n_history; i++) { /* 16 numbers of ten digits fit */
        n += snprintf(out + n, (size_t)(HEAD_JSON_BYTES - n), "%s%u", i ? "," : "", h->history[i]);
    }
    n += snprintf(out + n, (size_t)(HEAD_JSON_BYTES - n), "]}");
    return (weir_str){out, (size_t)n};
}

void head_version_name(uint32_t number, char out[16])
{
    (void)snprintf(out, 16, "%010u", number);
}

/* ---- one tenant ---- */

static void list_end(struct records *r);

static void end_sync(struct sync *s, const char *result)
{
    struct records *r = s->r;
    metrics_count(r->p, r->p->syncs, weir_str_from(s->tenant), result);
    for (int i = 0; i < N_ROLES; i++) {
        lua_version_unref(&s->roles[i]);
    }
    if (s->done) {
        s->done(s->arg);
    }
    bool of_listing = s->of_listing;
    free(s);
    if (of_listing) {
        r->syncing--;
        list_end(r);
    }
}

static void show_versions(const struct records *r, const struct sync *s)
{
    static const char *const roles[N_ROLES] = {"active", "canary", "shadow"};
    const uint32_t numbers[N_ROLES] = {s->head.active, s->head.canary, s->head.shadow};
    const struct lua_plugin *p = r->p;
    for (int i = 0; p->metrics && i < N_ROLES; i++) {
        const weir_str labels[] = {weir_str_from(s->tenant), weir_str_from(roles[i])};
        p->metrics->record(p->host, p->versions, numbers[i], labels, 2);
    }
}

static void swap(struct sync *s)
{
    struct lua_policies *policies = s->r->p->policies;
    struct lua_active now, active = {.active = s->roles[0],
                                     .canary = s->roles[1],
                                     .shadow = s->roles[2],
                                     .percent = s->head.percent,
                                     .version = s->head_version};
    lua_policies_peek(policies, weir_str_from(s->tenant), &now);
    if (s->head_version && s->head_version < now.version) {
        end_sync(s, "overtaken"); /* a later reading was faster */
        return;
    }
    if (!s->head_version && !now.version) {
        end_sync(s, "ok"); /* none, as before: no entry for that */
        return;
    }
    memset(s->roles, 0, sizeof(s->roles)); /* the table has the references now */
    (void)lua_policies_set_active(policies, weir_str_from(s->tenant), &active);
    show_versions(s->r, s);
    end_sync(s, "ok");
}

static void fail(struct sync *s, const char *why)
{
    const weir_host *h = s->r->p->host;
    char text[LUA_SANDBOX_ERROR_BYTES + 256];
    (void)snprintf(text, sizeof(text), "versions of tenant \"%s\" stay as they are: %s", s->tenant,
                   why);
    h->log(h, WEIR_LEVEL_ERROR, NULL, weir_str_from(text));
    end_sync(s, "failed");
}

/* The version of this number that runs already, with the limits that it would get now. */
static struct lua_version *running(struct sync *s, uint32_t number, const struct lua_limits *limits)
{
    struct lua_active now;
    lua_policies_peek(s->r->p->policies, weir_str_from(s->tenant), &now);
    struct lua_version *const all[] = {now.active, now.canary, now.shadow};
    for (int i = 0; i < N_ROLES; i++) {
        if (all[i] && all[i]->number == number &&
            memcmp(&all[i]->limits, limits, sizeof(*limits)) == 0) {
            return lua_version_ref(all[i]);
        }
    }
    return NULL;
}

static void read_roles(struct sync *s);

static void version_found(void *arg, const weir_store_result *result)
{
    struct sync *s = arg;
    const uint32_t numbers[N_ROLES] = {s->head.active, s->head.canary, s->head.shadow};
    struct lua_settings settings =
        lua_policies_settings(s->r->p->policies, weir_str_from(s->tenant));
    char name[LUA_MAX_TENANT_BYTES + 32], error[LUA_SANDBOX_ERROR_BYTES];
    if (result->rc < 0) {
        fail(s, result->rc == WEIR_E_NOTFOUND ? "a version is missing" : "the store is away");
        return;
    }
    yyjson_doc *doc = yyjson_read(result->value.p, result->value.n, 0);
    yyjson_val *source = yyjson_obj_get(yyjson_doc_get_root(doc), "source");
    int rc = WEIR_E_FORMAT;
    (void)snprintf(name, sizeof(name), "=%s v%u", s->tenant, numbers[s->at]);
    (void)snprintf(error, sizeof(error), "a version has no source");
    if (yyjson_is_str(source)) {
        weir_str text = {yyjson_get_str(source), yyjson_get_len(source)};
        rc = lua_version_create(text, name, numbers[s->at], &settings.limits, &s->roles[s->at],
                                error);
    }
    yyjson_doc_free(doc);
    if (rc < 0) {
        fail(s, error);
        return;
    }
    s->at++;
    read_roles(s);
}

/* Goes on with the next version that is not here. A store that answers at once makes this nest
 * N_ROLES deep at most. */
static void read_roles(struct sync *s)
{
    const struct lua_plugin *p = s->r->p;
    const uint32_t numbers[N_ROLES] = {s->head.active, s->head.canary, s->head.shadow};
    struct lua_settings settings = lua_policies_settings(p->policies, weir_str_from(s->tenant));
    char name[16];
    for (; s->at < N_ROLES; s->at++) {
        uint32_t number = numbers[s->at];
        if (number == 0 || (s->roles[s->at] = running(s, number, &settings.limits))) {
            continue;
        }
        head_version_name(number, name);
        int rc = p->store->find(p->host, weir_str_from(s->tenant), weir_str_from(RECORDS_VERSIONS),
                                weir_str_from(name), version_found, s);
        if (rc < 0) {
            fail(s, "the store is away");
        }
        return;
    }
    swap(s);
}

static void head_found(void *arg, const weir_store_result *result)
{
    struct sync *s = arg;
    if (result->rc < 0 && result->rc != WEIR_E_NOTFOUND) {
        fail(s, "the store is away");
        return;
    }
    if (result->rc == 0) {
        head_read(result->value, &s->head);
        s->head_version = (uint64_t)result->number;
    }
    read_roles(s);
}

static void sync(struct records *r, weir_str tenant, bool of_listing, void (*done)(void *arg),
                 void *arg)
{
    const struct lua_plugin *p = r->p;
    struct sync *s = tenant.n && tenant.n <= LUA_MAX_TENANT_BYTES ? calloc(1, sizeof(*s)) : NULL;
    if (!s) {
        if (done) {
            done(arg);
        }
        return;
    }
    s->r = r;
    s->of_listing = of_listing;
    s->done = done;
    s->arg = arg;
    r->syncing += of_listing;
    memcpy(s->tenant, tenant.p, tenant.n);
    int rc = p->store->find(p->host, (weir_str){NULL, 0}, weir_str_from(RECORDS_HEADS),
                            weir_str_from(s->tenant), head_found, s);
    if (rc < 0) {
        fail(s, "the store is away");
    }
}

void records_sync(struct records *r, weir_str tenant, void (*done)(void *arg), void *arg)
{
    sync(r, tenant, false, done, arg);
}

/* ---- all tenants ---- */

static void list_pages(struct records *r);

/* Where the listing, and what it began, is over, and did not fail. */
static void list_end(struct records *r)
{
    if (r->listing || r->syncing || r->retry) {
        return;
    }
    lua_policies_set_known(r->p->policies);
    if (r->again) {
        r->again = false;
        r->listing = true;
        *r->after = '\0';
        list_pages(r);
    }
}

static void start_list(void *arg)
{
    struct records *r = arg;
    r->retry = 0;
    if (r->listing || r->syncing) {
        r->again = true;
        return;
    }
    r->listing = true;
    *r->after = '\0';
    list_pages(r);
}

static void list_failed(struct records *r)
{
    const weir_host *h = r->p->host;
    r->listing = false;
    if (!r->retry) {
        r->retry = h->timer_start(h, LIST_AGAIN_MS, 0, start_list, r);
    }
}

static void take_heads(struct records *r, const weir_store_result *result)
{
    for (uint32_t i = 0; i < result->n_items; i++) {
        const weir_store_item *item = &result->items[i];
        struct lua_active now;
        lua_policies_peek(r->p->policies, item->key, &now);
        if (now.version != item->number) {
            sync(r, item->key, true, NULL, NULL);
        }
    }
    const weir_str last =
        result->n_items ? result->items[result->n_items - 1].key : (weir_str){NULL, 0};
    r->listing = result->more && last.n && last.n < sizeof(r->after);
    if (r->listing) {
        memcpy(r->after, last.p, last.n);
        r->after[last.n] = '\0';
    }
}

static void listed(void *arg, const weir_store_result *result)
{
    struct records *r = arg;
    if (result->rc < 0) {
        list_failed(r);
    } else {
        take_heads(r, result);
    }
    r->waits = false;
    list_end(r);
    list_pages(r);
}

/* A loop, since a store may answer inside the call: there are many tenants. */
static void list_pages(struct records *r)
{
    const struct lua_plugin *p = r->p;
    while (r->listing && !r->waits && !r->is_calling) {
        r->waits = r->is_calling = true;
        int rc = p->store->list(p->host, (weir_str){NULL, 0}, weir_str_from(RECORDS_HEADS),
                                weir_str_from(r->after), LIST_STEP, listed, r);
        r->is_calling = false;
        if (rc < 0) {
            r->waits = false;
            list_failed(r);
        }
    }
}

/* Names are gathered first: syncing changes the table that is walked. */
struct names {
    char (*list)[LUA_MAX_TENANT_BYTES + 1];
    size_t n, cap;
};

static void gather(void *arg, weir_str tenant)
{
    struct names *names = arg;
    if (names->n == names->cap) {
        size_t cap = names->cap ? names->cap * 2 : 64;
        void *more = realloc(names->list, cap * sizeof(*names->list));
        if (!more) {
            return; /* the listing finds those that changed */
        }
        names->list = more;
        names->cap = cap;
    }
    memcpy(names->list[names->n], tenant.p, tenant.n);
    names->list[names->n++][tenant.n] = '\0';
}

static void on_message(void *arg, weir_str tenant, int lost)
{
    struct records *r = arg;
    if (!lost) {
        sync(r, tenant, false, NULL, NULL);
        return;
    }
    struct names names = {.list = NULL};
    lua_policies_each(r->p->policies, gather, &names);
    for (size_t i = 0; i < names.n; i++) {
        sync(r, weir_str_from(names.list[i]), false, NULL, NULL);
    }
    free(names.list);
    start_list(r);
}

static void head_removed(void *arg, const weir_store_result *result)
{
    (void)arg;
    (void)result; /* what stays now is removed by another replica, or when the tenant comes again */
}

/* A tenant has come, changed or gone, with its limits. Its versions lay under it and went with it;
 * the head lies under the installation. */
static void on_tenant(void *arg, weir_str tenant)
{
    struct records *r = arg;
    const struct lua_plugin *p = r->p;
    struct lua_active now;
    bool gone = p->tenants->get(p->host, tenant, NULL, NULL) == WEIR_E_NOTFOUND;
    lua_policies_peek(p->policies, tenant, &now);
    if (gone && now.version) {
        (void)p->store->put(p->host, (weir_str){NULL, 0}, weir_str_from(RECORDS_HEADS), tenant,
                            (weir_str){NULL, 0}, UINT64_MAX, head_removed, NULL);
    }
    if (gone) {
        lua_policies_remove(p->policies, tenant);
        return;
    }
    settings_reread(r->p, tenant);
    if (p->store) {
        sync(r, tenant, false, NULL, NULL);
    }
}

int records_create(struct lua_plugin *p, struct records **ret_records)
{
    const weir_host *h = p->host;
    struct records *r = calloc(1, sizeof(*r));
    if (!r) {
        return WEIR_E_NOMEM;
    }
    r->p = p;
    *ret_records = r;
    if (WEIR_HAS_FN(p->tenants, watch)) {
        (void)p->tenants->watch(h, on_tenant, r);
    }
    if (!p->store) {
        lua_policies_set_known(p->policies);
        return 0;
    }
    int rc = p->store->subscribe(h, weir_str_from(RECORDS_HEADS), on_message, r);
    if (rc < 0) {
        return rc;
    }
    r->timer = h->timer_start(h, LIST_EVERY_MS, LIST_EVERY_MS, start_list, r);
    start_list(r);
    return 0;
}

void records_destroy(struct records *r)
{
    if (r) {
        const weir_host *h = r->p->host;
        (void)(r->timer && h->timer_stop(h, r->timer));
        (void)(r->retry && h->timer_stop(h, r->retry));
        free(r);
    }
}
