/* SPDX-License-Identifier: Apache-2.0 */
/* Policy "quota": budgets of requests, tokens and money in windows of a minute to a month.
 *
 * BODY: reserves what the request can use at most, or refuses. on_complete: settles by what it
 * used. */
#include "quota.h"

#include <stdio.h>
#include <sys/random.h>

#include "price_book.h"
#include "weir/plugin.h"
#include "weir/policy.h"

struct state {                       /* per request */
    struct reservation *reservation; /* NULL: no budget */
    bool begun, admitted;
    struct reservation_room room;
};

static void finish(struct quota *q)
{
    ledger_finish(&q->ledger);
    rules_finish(&q->ledger.config);
    zone_destroy(q->ledger.zone);
    price_book_destroy(q->ledger.prices);
    q->ledger.host->free(q->ledger.host, q);
}

static void instance_destroy(void *instance)
{
    struct quota *q = instance;
    if (q->timer) {
        (void)q->ledger.host->timer_stop(q->ledger.host, q->timer);
    }
    finish(q);
}

static void on_timer(void *arg)
{
    struct quota *q = arg;
    quota_publish(q); /* before what is pending is under way */
    ledger_retry(&q->ledger);
}

static int start(struct quota *q, weir_str config_json, char error[QUOTA_ERROR_BYTES])
{
    struct ledger *l = &q->ledger;
    const weir_host *h = l->host;
    const weir_ext_tenants *tenants = h->get_ext(h, WEIR_EXT_TENANTS);
    uint64_t id = 0;
    (void)snprintf(error, QUOTA_ERROR_BYTES, "out of memory");
    if (ledger_init(l) < 0) {
        return WEIR_E_NOMEM;
    }
    l->store = h->get_ext(h, WEIR_EXT_STORE);
    l->tenants = tenants && WEIR_HAS_FN(tenants, get) ? tenants : NULL;
    if (!l->store || !WEIR_HAS_FN(l->store, reserve) || !WEIR_HAS_FN(l->store, settle)) {
        (void)snprintf(error, QUOTA_ERROR_BYTES, "the host's store lacks reserve or settle");
        return WEIR_E_UNSUPPORTED;
    }
    if (getrandom(&id, sizeof(id), 0) != sizeof(id)) {
        (void)snprintf(error, QUOTA_ERROR_BYTES, "no random number for the replica's name");
        return WEIR_E_IO;
    }
    l->direct = !(l->store->flags & WEIR_STORE_SHARED) && WEIR_HAS_FN(l->store, budget_settle);
    (void)snprintf(l->prefix, sizeof(l->prefix), "%016llx", (unsigned long long)id);
    return quota_read_settings(q, config_json, error);
}

static void *instance_create(const weir_host *host, weir_str config_json, weir_str *err)
{
    static char error[QUOTA_ERROR_BYTES]; /* [main] only; outlives a failed instance */
    struct quota *q = host->alloc(host, sizeof(*q));
    *err = weir_str_from("out of memory");
    if (!q) {
        return NULL;
    }
    memset(q, 0, sizeof(*q));
    q->ledger.host = host;
    if (start(q, config_json, error) < 0) {
        *err = weir_str_from(error);
        finish(q);
        return NULL;
    }
    quota_define_metrics(q);
    q->timer = host->timer_start(host, 1000, 1000, on_timer, q);
    const weir_ext_admin *admin = host->get_ext(host, WEIR_EXT_ADMIN);
    if (admin && WEIR_HAS_FN(admin, route)) {
        const weir_admin_route show = {
            .struct_size = sizeof(show),
            .scopes = WEIR_SCOPE_TENANT_ADMIN,
            .method = "GET",
            .path = "tenants/{tenant}",
            .summary = "What a tenant has left of its budgets, as this replica knows it.",
            .fn = quota_show,
            .arg = q};
        (void)admin->route(host, &show);
    }
    return q;
}

/* What the request can use at most; that prompt tokens may be cached is not counted on. */
static struct usage most_of(const struct quota *q, weir_req *r)
{
    struct usage most = {.cached_tokens = 0};
    level_tokens_read(q->ledger.host, r, q->assumed_tokens, &most.prompt_tokens,
                      &most.completion_tokens);
    return most;
}

static void count(struct quota *q, const struct reservation *v, enum reserve_result result)
{
    struct ledger_counters *c = &q->ledger.counters;
    enum level level =
        v && v->by < v->n ? (enum level)v->holds[v->by].owner->e.level : LEVEL_TENANT;
    atomic_uint_least64_t *counter =
        result == RESERVE_OK ? &c->reserved : &c->results[level][result];
    (void)atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
    if (result == RESERVE_OK && v->lost) {
        counter = q->ledger.on_loss == ON_LOSS_ALLOW ? &c->unlimited : &c->local;
        (void)atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
    }
}

static int decide(struct quota *q, weir_req *r, struct state *s)
{
    enum reserve_result result = ledger_reserve(s->reservation);
    if (result == RESERVE_WAIT) {
        return WEIR_SUSPEND;
    }
    count(q, s->reservation, result);
    if (result == RESERVE_OK) {
        s->admitted = true;
        quota_warn(q, r, s->reservation);
        return WEIR_CONTINUE;
    }
    if (result == RESERVE_BROKEN) {
        return WEIR_FAIL;
    }
    quota_answer(q, r, s->reservation, result);
    return WEIR_DENY;
}

static void log_currency(const struct quota *q, weir_req *r)
{
    static const char line[] =
        "the request's tenant has a spend budget in another currency than the price book, or there "
        "is no price_book: it is refused";
    q->ledger.host->log(q->ledger.host, WEIR_LEVEL_ERROR, r, weir_str_from(line));
}

static int on_phase(void *instance, weir_req *r, int phase)
{
    struct quota *q = instance;
    struct state *s = q->ledger.host->req_state(q->ledger.host, r);
    (void)phase;
    if (!s || s->begun) {
        return s ? WEIR_CONTINUE : WEIR_FAIL; /* a retry has paid already */
    }
    s->begun = true;
    struct level_ids ids;
    const struct usage most = most_of(q, r);
    level_ids_read(q->ledger.host, r, &ids);
    enum reserve_result result = ledger_begin(&q->ledger, &ids, &most, &s->room, &s->reservation);
    if (result == RESERVE_OK) {
        return s->reservation ? decide(q, r, s) : WEIR_CONTINUE;
    }
    count(q, NULL, result);
    if (result == RESERVE_BROKEN) {
        return WEIR_FAIL;
    }
    if (result == RESERVE_CURRENCY) {
        log_currency(q, r);
    }
    quota_answer(q, r, NULL, result);
    return WEIR_DENY;
}

/* rc and data say nothing that the ledger does not know. */
static int on_resume(void *instance, weir_req *r, int phase, int rc, weir_str data)
{
    struct quota *q = instance;
    struct state *s = q->ledger.host->req_state(q->ledger.host, r);
    (void)phase;
    (void)rc;
    (void)data;
    return s && s->reservation ? decide(q, r, s) : WEIR_CONTINUE;
}

static void on_complete(void *instance, weir_req *r, const weir_usage *u)
{
    const struct quota *q = instance;
    struct state *s = q->ledger.host->req_state(q->ledger.host, r);
    if (!s || !s->reservation) {
        return;
    }
    const struct usage used = {.prompt_tokens = u->prompt_tokens,
                               .cached_tokens = u->cached_tokens,
                               .completion_tokens = u->completion_tokens,
                               .gpu_us = WEIR_HAS(u, device_us) ? u->device_us : 0};
    bool ran = s->admitted && (u->http_status == 200 || u->prompt_tokens || u->completion_tokens);
    ledger_settle(s->reservation, ran ? &used : NULL);
    s->reservation = NULL;
}

static const weir_policy policy = {
    .struct_size = sizeof(policy),
    .phases = WEIR_PHASE_BIT(WEIR_PHASE_BODY),
    .req_state_size = sizeof(struct state),
    .instance_create = instance_create,
    .instance_destroy = instance_destroy,
    .on_phase = on_phase,
    .on_resume = on_resume,
    .on_complete = on_complete,
};

static const void *get_ext(const char *id)
{
    return strcmp(id, WEIR_EXT_POLICY) == 0 ? &policy : NULL;
}

static const char *const provides[] = {WEIR_EXT_POLICY, NULL};
static const char *const needs[] = {WEIR_EXT_STORE, NULL};
static const char *const wants[] = {WEIR_EXT_TENANTS, WEIR_EXT_METRICS, WEIR_EXT_ADMIN, NULL};
static const char *const after[] = {"auth", NULL};
static const weir_plugin about = {
    WEIR_PLUGIN_HEAD,
    .flags = WEIR_PLUGIN_UNLOADABLE,
    .name = "quota",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .description = "Budgets of requests, tokens and money.",
    .config_schema = quota_schema,
    .needs = needs,
    .wants = wants,
    .after = after,
    .provides = provides,
    .get_ext = get_ext,
};

const weir_plugin *weir_plugin_entry_v1(void)
{
    return &about;
}
