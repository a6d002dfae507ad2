/* SPDX-License-Identifier: Apache-2.0 */
/* Policy "ratelimit": requests, tokens and places of tenants, users, keys, models and all together,
 * exact over all replicas that share a store; and adaptive admission by the time to the first
 * token.
 *
 * BODY: takes what the request needs, or refuses. on_complete: gives back what it did not use. */
#include "ratelimit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "answer.h"
#include "weir/plugin.h"
#include "weir/policy.h"

struct state { /* per request */
    struct admission admission;
    struct adaptive_cell *cell; /* NULL: no adaptive limit */
    uint64_t arrived_us;
    bool begun, first_token;
};

static void instance_destroy(void *instance)
{
    struct ratelimit *rl = instance;
    const weir_host *h = rl->limiter.host;
    if (rl->timer) {
        (void)h->timer_stop(h, rl->timer);
    }
    if (rl->limiter.sweep_timer) {
        (void)h->timer_stop(h, rl->limiter.sweep_timer);
    }
    limiter_finish(&rl->limiter);
    adaptive_finish(&rl->adaptive);
    h->free(h, rl);
}

static bool find_extensions(struct limiter *l)
{
    const weir_host *h = l->host;
    const weir_ext_tenants *tenants = h->get_ext(h, WEIR_EXT_TENANTS);
    l->store = h->get_ext(h, WEIR_EXT_STORE);
    l->tenants = tenants && WEIR_HAS_FN(tenants, get) ? tenants : NULL;
    l->shared = l->store && (l->store->flags & WEIR_STORE_SHARED);
    l->direct = l->store && !l->shared && WEIR_HAS_FN(l->store, limit_give);
    return l->store && WEIR_HAS_FN(l->store, take) && WEIR_HAS_FN(l->store, give) &&
           WEIR_HAS_FN(l->store, reserve);
}

static int start(struct ratelimit *rl, weir_str config_json, const char **ret_error)
{
    uint64_t id = 0;
    int rc = settings_read(config_json, &rl->settings, &rl->limiter, ret_error);
    if (rc < 0) {
        return rc;
    }
    if (!find_extensions(&rl->limiter)) {
        *ret_error = "the host's store lacks take, give or reserve";
        return WEIR_E_UNSUPPORTED;
    }
    if (getrandom(&id, sizeof(id), 0) != sizeof(id)) {
        *ret_error = "no random number for the replica's name";
        return WEIR_E_IO;
    }
    (void)snprintf(rl->limiter.id, sizeof(rl->limiter.id), "%016llx", (unsigned long long)id);
    *ret_error = "out of memory";
    return limiter_init(&rl->limiter);
}

static void *instance_create(const weir_host *host, weir_str config_json, weir_str *err)
{
    struct ratelimit *rl = host->alloc(host, sizeof(*rl));
    const char *error = "out of memory";
    if (!rl) {
        *err = weir_str_from(error);
        return NULL;
    }
    memset(rl, 0, sizeof(*rl));
    rl->limiter.host = host;
    int rc = start(rl, config_json, &error);
    if (rc == 0 && (rc = adaptive_init(&rl->adaptive, &rl->settings.adaptive)) < 0) {
        error = "out of memory";
    }
    if (rc < 0) {
        *err = weir_str_from(error);
        limiter_finish(&rl->limiter);
        host->free(host, rl);
        return NULL;
    }
    metrics_define(rl);
    if (rl->metrics.ext) {
        rl->timer = host->timer_start(host, 1000, 1000, metrics_publish, rl);
    }
    const weir_ext_admin *admin = host->get_ext(host, WEIR_EXT_ADMIN);
    if (admin && WEIR_HAS_FN(admin, route)) {
        const weir_admin_route show = {
            .struct_size = sizeof(show),
            .scopes = WEIR_SCOPE_TENANT_ADMIN,
            .method = "GET",
            .path = "tenants/{tenant}",
            .summary = "What a tenant has left of its limits, as this replica knows it.",
            .fn = admin_show,
            .arg = rl};
        (void)admin->route(host, &show);
    }
    return rl;
}

static int enter_adaptive(struct ratelimit *rl, weir_req *r, struct state *s, weir_str model)
{
    const weir_host *h = rl->limiter.host;
    weir_str class = {NULL, 0};
    uint64_t now_us = limiter_now(&rl->limiter);
    (void)h->req_get(h, r, WEIR_FIELD_CLASS, &class);
    int64_t arrived = 0;
    bool known = h->req_get_num(h, r, WEIR_NUMBER_ARRIVED_US, &arrived) == 0 && arrived > 0;
    s->arrived_us = known && (uint64_t)arrived < now_us ? (uint64_t)arrived : now_us;
    if (adaptive_enter(&rl->adaptive, model, adaptive_class(class), now_us, &s->cell)) {
        return WEIR_CONTINUE;
    }
    answer_overload(&rl->limiter, r);
    return WEIR_DENY;
}

static int admit(struct ratelimit *rl, weir_req *r, struct state *s, uint64_t now_us)
{
    enum admit result = limiter_admit(&rl->limiter, &s->admission, now_us);
    switch (result) {
    case ADMIT_WAIT: return WEIR_SUSPEND;
    case ADMIT_PASS: answer_headers(&rl->limiter, &s->admission, r); return WEIR_CONTINUE;
    case ADMIT_BROKEN: return WEIR_FAIL;
    default:
        answer_headers(&rl->limiter, &s->admission, r);
        answer_refusal(&rl->limiter, &s->admission, r, result);
        return WEIR_DENY;
    }
}

static int on_phase(void *instance, weir_req *r, int phase)
{
    struct ratelimit *rl = instance;
    struct state *s = rl->limiter.host->req_state(rl->limiter.host, r);
    (void)phase;
    if (!s || s->begun) {
        return s ? WEIR_CONTINUE : WEIR_FAIL; /* a retry has paid already */
    }
    struct level_ids ids;
    level_ids_read(rl->limiter.host, r, &ids);
    s->begun = true;
    if (rl->settings.is_adaptive &&
        enter_adaptive(rl, r, s, level_ids_model(&ids)) != WEIR_CONTINUE) {
        return WEIR_DENY;
    }
    uint64_t prompt, answer;
    level_tokens_read(rl->limiter.host, r, rl->settings.assumed_tokens, &prompt, &answer);
    uint64_t now_us = limiter_turn(&rl->limiter);
    if (limiter_begin(&rl->limiter, &ids, r, prompt + answer, now_us, &s->admission) < 0) {
        return WEIR_FAIL;
    }
    return admit(rl, r, s, now_us);
}

/* rc and data say nothing that the limiter does not know: whoever resumed, it looks again. */
static int on_resume(void *instance, weir_req *r, int phase, int rc, weir_str data)
{
    struct ratelimit *rl = instance;
    (void)phase;
    (void)rc;
    (void)data;
    return admit(rl, r, rl->limiter.host->req_state(rl->limiter.host, r),
                 limiter_now(&rl->limiter));
}

static int on_chunk(void *instance, weir_req *r, const weir_chunk *c, weir_str *out)
{
    struct ratelimit *rl = instance;
    (void)out;
    if (!rl->settings.is_adaptive) {
        return WEIR_CHUNK_REST;
    }
    struct state *s = rl->limiter.host->req_state(rl->limiter.host, r);
    if (!s || !s->cell) {
        return WEIR_CHUNK_REST;
    }
    if (c->n_tokens == 0) {
        return WEIR_CHUNK_PASS;
    }
    uint64_t now_us = limiter_now(&rl->limiter);
    s->first_token = true;
    adaptive_sample(&rl->adaptive, s->cell, now_us - s->arrived_us, now_us);
    return WEIR_CHUNK_REST;
}

static void on_complete(void *instance, weir_req *r, const weir_usage *u)
{
    struct ratelimit *rl = instance;
    struct state *s = rl->limiter.host->req_state(rl->limiter.host, r);
    if (!s || !s->begun) {
        return;
    }
    if (s->cell) {
        uint64_t now_us = limiter_now(&rl->limiter);
        adaptive_leave(&rl->adaptive, s->cell, s->first_token, now_us - s->arrived_us, now_us);
    }
    limiter_end(&rl->limiter, &s->admission, u->prompt_tokens + u->completion_tokens);
}

static const weir_policy policy = {
    .struct_size = sizeof(policy),
    .phases = WEIR_PHASE_BIT(WEIR_PHASE_BODY),
    .req_state_size = sizeof(struct state),
    .instance_create = instance_create,
    .instance_destroy = instance_destroy,
    .on_phase = on_phase,
    .on_resume = on_resume,
    .on_chunk = on_chunk,
    .on_complete = on_complete,
};

static const void *get_ext(const char *id)
{
    return strcmp(id, WEIR_EXT_POLICY) == 0 ? &policy : NULL;
}

static const char *const provides[] = {WEIR_EXT_POLICY, NULL};
static const char *const needs[] = {WEIR_EXT_STORE, NULL};
static const char *const wants[] = {WEIR_EXT_TENANTS, WEIR_EXT_METRICS, WEIR_EXT_ADMIN,
                                    WEIR_EXT_SLAS, NULL};
static const char *const after[] = {"auth", NULL};
static const weir_plugin about = {
    WEIR_PLUGIN_HEAD,
    .flags = WEIR_PLUGIN_UNLOADABLE,
    .name = "ratelimit",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .description = "Rate limits of tenants, users, keys and models.",
    .config_schema = settings_schema,
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
