/* SPDX-License-Identifier: Apache-2.0 */
/* Invalidation: DELETE tenants/{tenant}?model=NAME, on all replicas. */
#include <stdlib.h>

#include "cache.h"
#include "text.h"

enum { SUSPEND_MS = 30000, MESSAGE_BYTES = 1024 };

static const char channel[] = "invalidate";

weir_str cache_tag(weir_str model, char buffer[CACHE_TAG_BYTES])
{
    if (model.n == 0) {
        return (weir_str)WEIR_STR_INIT("answers");
    }
    struct text t = text_on(buffer, CACHE_TAG_BYTES);
    TEXT_ADD(&t, "answers/");
    text_add(&t, model);
    return text_view(&t);
}

void cache_tags(const struct ask *a, char buffer[CACHE_TAG_BYTES], weir_str tags[CACHE_TAGS])
{
    tags[0] = cache_tag((weir_str){NULL, 0}, buffer);
    tags[1] = cache_tag(ask_model(a), buffer);
}

/* What is gathered now was asked before: it is not kept in memory. */
static uint64_t drop(struct cache *c, weir_str tenant, weir_str model)
{
    return c->memory ? memory_drop(c->memory, tenant, model) : 0;
}

/* ---- messages between replicas: "TENANT\nMODEL" ---- */

static void on_message(void *arg, weir_str message, int lost)
{
    struct cache *c = arg;
    const char *line = message.n ? memchr(message.p, '\n', message.n) : NULL;
    if (line) {
        size_t n = (size_t)(line - message.p);
        (void)drop(c, (weir_str){message.p, n}, (weir_str){line + 1, message.n - n - 1});
    }
    if (lost && c->memory) { /* anything may have been said */
        memory_clear(c->memory);
    }
}

static void on_tenant(void *arg, weir_str tenant)
{
    (void)drop(arg, tenant, (weir_str){NULL, 0}); /* it may be gone, and another get its name */
}

int cache_listen(struct cache *c)
{
    const weir_ext_tenants *tenants = c->host->get_ext(c->host, WEIR_EXT_TENANTS);
    if (tenants && WEIR_HAS_FN(tenants, watch)) {
        int rc = tenants->watch(c->host, on_tenant, c);
        if (rc < 0) {
            return rc;
        }
    }
    return c->store->subscribe(c->host, weir_str_from(channel), on_message, c);
}

/* ---- the route ---- */

struct removal {
    struct cache *c;
    weir_ticket ticket; /* of the route's suspension; 0: not suspended yet */
    bool ended;
    int rc;
    int64_t number;
};

static int answer(struct cache *c, weir_req *r, int rc, uint64_t number)
{
    if (rc < 0) {
        (void)c->host->deny(c->host, r, 503, (weir_str){NULL, 0},
                            weir_str_from("store_unavailable"),
                            weir_str_from("The store did not answer; answers may still be kept. "
                                          "Retry."));
        return WEIR_DENY;
    }
    char buffer[64];
    struct text t = text_on(buffer, sizeof(buffer));
    TEXT_ADD(&t, "{\"removed\":");
    text_add_u64(&t, number);
    text_add_char(&t, '}');
    cache_count(c, COUNT_INVALIDATED, number);
    return c->host->respond(c->host, r, 200, weir_str_from("application/json"), text_view(&t)) < 0
               ? WEIR_FAIL
               : WEIR_RESPOND;
}

static void on_removed(void *arg, const weir_store_result *result)
{
    struct removal *m = arg;
    m->ended = true;
    m->rc = result->rc;
    m->number = result->number > 0 ? result->number : 0;
    if (m->ticket) {
        weir_str data = {(const char *)&m->number, sizeof(m->number)};
        (void)m->c->host->resume(m->c->host, m->ticket, m->rc < 0 ? m->rc : 0, data);
        free(m);
    }
}

static void ignore(void *arg, const weir_store_result *result)
{
    if (result->rc < 0) {
        cache_count(arg, COUNT_STORE_FAILURES, 1);
    }
}

/* Others first: an answer that they read after ours is gone from the store must not stay. */
static void tell_others(struct cache *c, weir_str tenant, weir_str model)
{
    char buffer[MESSAGE_BYTES];
    struct text t = text_on(buffer, sizeof(buffer));
    text_add(&t, tenant);
    text_add_char(&t, '\n');
    text_add(&t, model);
    if (c->store->publish(c->host, weir_str_from(channel), text_view(&t), ignore, c) < 0) {
        cache_count(c, COUNT_STORE_FAILURES, 1);
    }
}

static int on_delete(void *arg, weir_req *r)
{
    struct cache *c = arg;
    const weir_ext_admin *admin = c->host->get_ext(c->host, WEIR_EXT_ADMIN);
    weir_str tenant, model = {NULL, 0};
    int rc = admin->param(c->host, r, "tenant", &tenant);
    if (rc < 0) {
        return rc;
    }
    if (admin->query(c->host, r, "model", &model) < 0) {
        model = (weir_str){NULL, 0};
    }
    if (weir_str_is(tenant, "-")) { /* requests without a tenant */
        tenant = (weir_str){NULL, 0};
    }
    uint64_t n_dropped = drop(c, tenant, model);
    if (!c->uses_store) {
        return answer(c, r, 0, n_dropped);
    }
    struct removal *m = malloc(sizeof(*m));
    if (!m) {
        return WEIR_E_NOMEM;
    }
    *m = (struct removal){.c = c};
    char tag[CACHE_TAG_BYTES];
    rc = c->store->invalidate(c->host, tenant, cache_tag(model, tag), on_removed, m);
    if (rc < 0) {
        free(m);
        return answer(c, r, rc, 0);
    }
    (void)drop(c, tenant, model); /* what was read from the store meanwhile */
    tell_others(c, tenant, model);
    if (m->ended) {
        rc = answer(c, r, m->rc, (uint64_t)m->number);
        free(m);
        return rc;
    }
    m->ticket = c->host->suspend(c->host, r, SUSPEND_MS);
    if (m->ticket) {
        return WEIR_SUSPEND;
    }
    m->ticket = UINT64_MAX; /* stale: the end goes nowhere and frees it */
    return answer(c, r, WEIR_E_BUSY, 0);
}

static int on_delete_resumed(void *arg, weir_req *r, int rc, weir_str data)
{
    int64_t number = 0;
    if (data.n == sizeof(number)) {
        memcpy(&number, data.p, sizeof(number));
    }
    return answer(arg, r, rc, (uint64_t)number);
}

static const char openapi[] =
    "{\"parameters\":[{\"name\":\"model\",\"in\":\"query\",\"schema\":{\"type\":\"string\"},"
    "\"description\":\"Only answers of this model.\"}],"
    "\"responses\":{\"200\":{\"description\":\"How many answers were removed from the store\","
    "\"content\":{\"application/json\":{\"schema\":{\"type\":\"object\",\"properties\":{"
    "\"removed\":{\"type\":\"integer\"}}}}}}}}";

int cache_add_routes(struct cache *c)
{
    const weir_ext_admin *admin = c->host->get_ext(c->host, WEIR_EXT_ADMIN);
    if (!admin || !WEIR_HAS_FN(admin, route)) {
        return 0;
    }
    const weir_admin_route remove = {
        .struct_size = sizeof(remove),
        .scopes = WEIR_SCOPE_TENANT_ADMIN,
        .method = "DELETE",
        .path = "tenants/{tenant}",
        .summary = "Forgets a tenant's kept answers, or those of one model.",
        .openapi = openapi,
        .fn = on_delete,
        .on_resume = on_delete_resumed,
        .arg = c,
    };
    return admin->route(c->host, &remove);
}
