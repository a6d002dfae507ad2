/* SPDX-License-Identifier: Apache-2.0 */
/* The hooks: which policy runs for a request, and what its verdict does.
 *
 * A policy that fails hurts its own tenant's requests only: the plugin applies on_error itself
 * rather than return WEIR_FAIL, which would count towards the quarantine of the plugin and so
 * towards everybody's. [loop] */
#include <stdio.h>
#include <stdlib.h>

#include "instance.h"

enum { LOOK_AGAIN_MS = 20 };

static const char *reason_of(int rc)
{
    switch (rc) {
    case WEIR_E_TIMEOUT: return "budget";
    case WEIR_E_NOMEM: return "memory";
    case WEIR_E_BUSY: return "busy";
    case WEIR_E_CANCELLED: return "wait";
    default: return "error";
    }
}

static weir_str tenant_of(const struct lua_plugin *p, weir_req *r)
{
    weir_str tenant = {NULL, 0};
    return p->host->req_get(p->host, r, WEIR_FIELD_TENANT, &tenant) < 0 ? (weir_str){NULL, 0}
                                                                        : tenant;
}

/* ---- failures ---- */

static void note_failure(const struct lua_plugin *p, weir_req *r, struct lua_version *v,
                         weir_str tenant, int rc, const char *error)
{
    const weir_host *h = p->host;
    uint64_t now_us = h->now_us(h);
    char text[LUA_SANDBOX_ERROR_BYTES + 200];
    metrics_count(p, p->aborts, tenant, reason_of(rc));
    if ((rc == WEIR_E_TIMEOUT || rc == WEIR_E_NOMEM) && lua_version_failed(v, now_us)) {
        metrics_count(p, p->paused, tenant, NULL);
    }
    if (lua_version_may_log_failure(v, now_us)) {
        (void)snprintf(text, sizeof(text), "policy of tenant \"%.*s\" failed: %s",
                       (int)(tenant.n < 100 ? tenant.n : 100), tenant.p ? tenant.p : "", error);
        h->log(h, WEIR_LEVEL_WARN, r, weir_str_from(text));
    }
}

/* The verdict of a request whose policy failed: on_error. */
static int fail(const struct lua_plugin *p, weir_req *r, struct lua_request *rs)
{
    const weir_host *h = p->host;
    rs->done = true;
    if (rs->fail_open) {
        return WEIR_CONTINUE;
    }
    (void)h->deny(h, r, 503, weir_str_from("server_error"), weir_str_from("policy_failed"),
                  weir_str_from("The tenant's policy failed; the request was not run."));
    return WEIR_DENY;
}

/* ---- verdicts ---- */

static int deny(const struct lua_plugin *p, weir_req *r, const struct lua_verdict *v)
{
    const weir_host *h = p->host;
    if (v->retry_after_s > 0) {
        char text[32];
        int64_t ms = (int64_t)(v->retry_after_s * 1000) + 1;
        (void)snprintf(text, sizeof(text), "%lld", (long long)((ms + 999) / 1000));
        (void)h->set_header(h, r, weir_str_from("Retry-After"), weir_str_from(text));
        (void)snprintf(text, sizeof(text), "%lld", (long long)ms);
        (void)h->set_header(h, r, weir_str_from("retry-after-ms"), weir_str_from(text));
    }
    (void)h->deny(h, r, v->status, weir_str_from("invalid_request_error"), weir_str_from(v->code),
                  weir_str_from(v->message));
    return WEIR_DENY;
}

static int route(const struct lua_plugin *p, weir_req *r, const struct lua_verdict *v,
                 char error[LUA_SANDBOX_ERROR_BYTES])
{
    const weir_host *h = p->host;
    if (*v->model && h->req_set(h, r, WEIR_FIELD_MODEL, weir_str_from(v->model)) < 0) {
        (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES,
                       "weir.route: there is no model '%.100s' for this tenant", v->model);
        return WEIR_E_NOTFOUND;
    }
    if (*v->target && h->req_set(h, r, WEIR_FIELD_TARGET, weir_str_from(v->target)) < 0) {
        (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES,
                       "weir.route: the model has no target '%.100s'", v->target);
        return WEIR_E_NOTFOUND;
    }
    return 0;
}

static const char *result_of(const struct lua_call *call)
{
    return call->verdict == LUA_VERDICT_DENY    ? "deny"
           : call->verdict == LUA_VERDICT_ROUTE ? "route"
                                                : "continue";
}

static void end_call(struct lua_request *rs, struct lua_call *call)
{
    if (rs->call == call) {
        rs->call = NULL;
    }
    lua_call_end(call);
}

/* What a call of on_request or on_route that has ended means. Ends it. */
static int conclude(const struct lua_plugin *p, weir_req *r, struct lua_request *rs,
                    struct lua_call *call, int rc, char error[LUA_SANDBOX_ERROR_BYTES])
{
    weir_str tenant = tenant_of(p, r);
    int verdict = WEIR_CONTINUE;
    if (rc >= 0 && call->verdict == LUA_VERDICT_ROUTE) {
        rc = route(p, r, call->said, error);
    }
    if (rc < 0) {
        note_failure(p, r, rs->version, tenant, rc, error);
        verdict = fail(p, r, rs);
    } else {
        metrics_count(p, p->calls, tenant, result_of(call));
        if (call->verdict == LUA_VERDICT_DENY) {
            verdict = deny(p, r, call->said);
        }
    }
    end_call(rs, call);
    return verdict;
}

/* Its call waits for the store: so does the request. */
static int suspend(const struct lua_plugin *p, weir_req *r, struct lua_request *rs,
                   struct lua_call *call)
{
    const weir_host *h = p->host;
    char error[LUA_SANDBOX_ERROR_BYTES] = "the store did not answer in time";
    uint64_t now_us = h->now_us(h);
    uint64_t left_ms = call->deadline_us > now_us ? (call->deadline_us - now_us) / 1000 : 0;
    call->ticket = left_ms ? h->suspend(h, r, (uint32_t)left_ms) : 0;
    rs->call = call;
    return call->ticket ? WEIR_SUSPEND : conclude(p, r, rs, call, WEIR_E_CANCELLED, error);
}

/* ---- shadows ---- */

static void count_shadow(const struct lua_plugin *p, struct lua_call *call, int rc,
                         const char *error)
{
    metrics_count(p, p->shadows, call->tenant, rc < 0 ? "failed" : result_of(call));
    if (rc < 0) {
        note_failure(p, call->req, call->version, call->tenant, rc, error);
    }
}

/* Runs beside the decision, which does not wait for it. */
static void run_shadow(struct lua_plugin *p, weir_req *r, struct lua_request *rs,
                       enum lua_hook hook, const weir_usage *usage)
{
    const struct lua_call_about about = {.services = &p->services,
                                         .version = rs->shadow,
                                         .hook = hook,
                                         .req = r,
                                         .notes = &rs->notes,
                                         .tenant = tenant_of(p, r),
                                         .usage = usage,
                                         .shadow = true,
                                         .owner = p};
    char error[LUA_SANDBOX_ERROR_BYTES];
    struct lua_call *call;
    if (!rs->shadow || !rs->shadow->has[hook] ||
        lua_version_is_paused(rs->shadow, p->host->now_us(p->host))) {
        return;
    }
    int rc = lua_call_start(&about, &call, error);
    if (rc == LUA_RUN_SUSPENDED && lua_call_detach(call) == 0) {
        return; /* decide_woken goes on */
    }
    if (call) {
        count_shadow(p, call, rc, error);
    }
    lua_call_end(call);
}

/* ---- calls ---- */

void decide_woken(struct lua_call *call)
{
    struct lua_plugin *p = call->owner;
    char error[LUA_SANDBOX_ERROR_BYTES];
    if (lua_call_was_orphan(call)) {
        return;
    }
    if (!call->detached) {
        (void)p->host->resume(p->host, call->ticket, 0, (weir_str){NULL, 0});
        return;
    }
    int rc = lua_call_resume(call, error);
    if (rc == LUA_RUN_SUSPENDED) {
        return;
    }
    if (call->shadow) {
        count_shadow(p, call, rc, error);
    } else if (rc < 0) {
        note_failure(p, NULL, call->version, call->tenant, rc, error);
    }
    lua_call_end(call);
}

bool decide_may_log(struct lua_call *call)
{
    const weir_host *h = call->services->host;
    return lua_version_may_log_line(call->version, h->now_us(h));
}

static int run_hook(struct lua_plugin *p, weir_req *r, struct lua_request *rs, enum lua_hook hook)
{
    const weir_host *h = p->host;
    const struct lua_call_about about = {.services = &p->services,
                                         .version = rs->version,
                                         .hook = hook,
                                         .req = r,
                                         .notes = &rs->notes,
                                         .tenant = tenant_of(p, r),
                                         .owner = p};
    char error[LUA_SANDBOX_ERROR_BYTES];
    struct lua_call *call = NULL;
    if (!rs->version || rs->done || !rs->version->has[hook]) {
        return WEIR_CONTINUE;
    }
    uint64_t now_us = h->now_us(h);
    if (lua_version_is_paused(rs->version, now_us)) {
        metrics_count(p, p->aborts, about.tenant, "paused");
        return fail(p, r, rs);
    }
    int rc = lua_call_start(&about, &call, error);
    if (!call) {
        note_failure(p, r, rs->version, about.tenant, rc, error);
        return fail(p, r, rs);
    }
    call->deadline_us = now_us + (uint64_t)p->wait_ms * 1000;
    return rc == LUA_RUN_SUSPENDED ? suspend(p, r, rs, call) : conclude(p, r, rs, call, rc, error);
}

static weir_str sticky_of(const struct lua_plugin *p, weir_req *r)
{
    static const int fields[] = {WEIR_FIELD_USER, WEIR_FIELD_KEY_ID, WEIR_FIELD_REQUEST_ID};
    weir_str found = {NULL, 0};
    for (size_t i = 0; i < 3; i++) {
        if (p->host->req_get(p->host, r, fields[i], &found) == 0) {
            return found;
        }
    }
    return found;
}

/* At the start the store has not said yet which versions there are: the request waits a little. */
static bool waits_for_records(const struct lua_plugin *p, weir_req *r, struct lua_request *rs)
{
    uint64_t now_us = p->host->now_us(p->host);
    rs->since_us = rs->since_us ? rs->since_us : now_us;
    return now_us - rs->since_us < (uint64_t)p->wait_ms * 1000 &&
           p->host->suspend(p->host, r, LOOK_AGAIN_MS) != 0;
}

/* One choice for the life of the request, so that all its hooks are of one version. */
static int choose(struct lua_plugin *p, weir_req *r, struct lua_request *rs)
{
    struct lua_choice c;
    lua_policies_choose(p->policies, tenant_of(p, r), sticky_of(p, r), &c);
    if (c.unknown && waits_for_records(p, r, rs)) {
        lua_version_unref(&c.version);
        lua_version_unref(&c.shadow);
        return WEIR_SUSPEND;
    }
    rs->chosen = true;
    rs->version = c.version;
    rs->shadow = c.shadow;
    rs->fail_open = c.fail_open;
    if (c.unknown) {
        metrics_count(p, p->aborts, tenant_of(p, r), "unknown");
        return fail(p, r, rs);
    }
    return WEIR_CONTINUE;
}

static int decide(struct lua_plugin *p, weir_req *r, struct lua_request *rs, int phase)
{
    enum lua_hook hook = phase == WEIR_PHASE_BODY ? LUA_ON_REQUEST : LUA_ON_ROUTE;
    run_shadow(p, r, rs, hook, NULL);
    return run_hook(p, r, rs, hook);
}

int decide_on_phase(void *instance, weir_req *r, int phase)
{
    struct lua_plugin *p = instance;
    struct lua_request *rs = p->host->req_state(p->host, r);
    if (!rs->chosen) {
        int verdict = choose(p, r, rs);
        if (verdict != WEIR_CONTINUE) {
            return verdict;
        }
    }
    return rs->version || rs->shadow ? decide(p, r, rs, phase) : WEIR_CONTINUE;
}

int decide_on_resume(void *instance, weir_req *r, int phase, int rc, weir_str data)
{
    (void)data;
    struct lua_plugin *p = instance;
    struct lua_request *rs = p->host->req_state(p->host, r);
    struct lua_call *call = rs->call;
    char error[LUA_SANDBOX_ERROR_BYTES] = "the store did not answer in time";
    if (!call) {
        return rs->chosen ? WEIR_CONTINUE : decide_on_phase(p, r, phase); /* looks again */
    }
    if (rc < 0) {
        return conclude(p, r, rs, call, WEIR_E_CANCELLED, error);
    }
    rc = lua_call_resume(call, error);
    return rc == LUA_RUN_SUSPENDED ? suspend(p, r, rs, call) : conclude(p, r, rs, call, rc, error);
}

/* ---- output ---- */

/* The text must outlive the call: it is borrowed until the next chunk. */
static int keep_text(struct lua_request *rs, weir_str text, weir_str *out)
{
    if (text.n > rs->n_text) {
        char *more = realloc(rs->text, text.n);
        if (!more) {
            return WEIR_E_NOMEM;
        }
        rs->text = more;
        rs->n_text = text.n;
    }
    if (text.n) {
        memcpy(rs->text, text.p, text.n);
    }
    *out = (weir_str){rs->text, text.n};
    return 0;
}

static int act_on_chunk(const struct lua_call *call, struct lua_request *rs, const weir_chunk *c,
                        weir_str *out, char error[LUA_SANDBOX_ERROR_BYTES])
{
    switch (call->verdict) {
    case LUA_VERDICT_REPLACE:
        if (c->kind == WEIR_CHUNK_FINISH) {
            (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES, "the end of a choice has no text");
            return WEIR_E_FORMAT;
        }
        return keep_text(rs, call->text, out) < 0 ? WEIR_E_NOMEM : WEIR_CHUNK_REPLACE;
    case LUA_VERDICT_HOLD:
        if (c->kind == WEIR_CHUNK_FINISH || (c->flags & WEIR_CHUNK_LAST)) {
            (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES,
                           "weir.hold: nothing follows behind the last chunk");
            return WEIR_E_FORMAT;
        }
        return WEIR_CHUNK_HOLD;
    case LUA_VERDICT_ABORT: return WEIR_CHUNK_ABORT;
    default: return WEIR_CHUNK_PASS;
    }
}

int decide_on_chunk(void *instance, weir_req *r, const weir_chunk *c, weir_str *out)
{
    struct lua_plugin *p = instance;
    struct lua_request *rs = p->host->req_state(p->host, r);
    char error[LUA_SANDBOX_ERROR_BYTES];
    struct lua_call *call = NULL;
    if (!rs->version || rs->done || !rs->version->has[LUA_ON_CHUNK] ||
        c->kind == WEIR_CHUNK_EMBEDDING) { /* policies are for text */
        return WEIR_CHUNK_REST;
    }
    const struct lua_call_about about = {.services = &p->services,
                                         .version = rs->version,
                                         .hook = LUA_ON_CHUNK,
                                         .req = r,
                                         .notes = &rs->notes,
                                         .tenant = tenant_of(p, r),
                                         .chunk = c,
                                         .owner = p};
    int rc = lua_call_start(&about, &call, error);
    if (rc >= 0) {
        rc = act_on_chunk(call, rs, c, out, error);
    }
    lua_call_end(call);
    if (rc < 0) {
        note_failure(p, r, rs->version, about.tenant, rc, error);
        rs->done = true;
        return rs->fail_open ? WEIR_CHUNK_REST : WEIR_CHUNK_ABORT;
    }
    return rc;
}

/* ---- the end ---- */

static void complete(struct lua_plugin *p, weir_req *r, struct lua_request *rs, const weir_usage *u)
{
    char error[LUA_SANDBOX_ERROR_BYTES];
    struct lua_call *call = NULL;
    const struct lua_call_about about = {.services = &p->services,
                                         .version = rs->version,
                                         .hook = LUA_ON_COMPLETE,
                                         .req = r,
                                         .notes = &rs->notes,
                                         .tenant = tenant_of(p, r),
                                         .usage = u,
                                         .owner = p};
    if (!rs->version || rs->done || !rs->version->has[LUA_ON_COMPLETE] ||
        lua_version_is_paused(rs->version, p->host->now_us(p->host))) {
        return;
    }
    int rc = lua_call_start(&about, &call, error);
    if (rc == LUA_RUN_SUSPENDED && lua_call_detach(call) == 0) {
        return; /* goes on without the request */
    }
    if (rc < 0) {
        note_failure(p, r, rs->version, about.tenant, rc, error);
    }
    lua_call_end(call);
}

void decide_on_complete(void *instance, weir_req *r, const weir_usage *u)
{
    struct lua_plugin *p = instance;
    struct lua_request *rs = p->host->req_state(p->host, r);
    lua_call_end(rs->call); /* the client left while it was suspended */
    rs->call = NULL;
    if (rs->version || rs->shadow) {
        run_shadow(p, r, rs, LUA_ON_COMPLETE, u);
        complete(p, r, rs, u);
    }
    lua_version_unref(&rs->version);
    lua_version_unref(&rs->shadow);
    lua_notes_destroy(rs->notes);
    free(rs->text);
}
