/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/store.h"

#include <stdlib.h>

#include "base/clock.h"
#include "core/store/check.h"
#include "core/store/metrics.h"

const char *weir_store_op_name(enum weir_store_op op)
{
    static const char *const names[WEIR_STORE_N_OPS] = {
        [WEIR_STORE_TAKE] = "take",
        [WEIR_STORE_GIVE] = "give",
        [WEIR_STORE_RESERVE] = "reserve",
        [WEIR_STORE_SETTLE] = "settle",
        [WEIR_STORE_GET] = "get",
        [WEIR_STORE_SET] = "set",
        [WEIR_STORE_INVALIDATE] = "invalidate",
        [WEIR_STORE_REMOVE] = "remove",
        [WEIR_STORE_ADD] = "add",
        [WEIR_STORE_PUT] = "put",
        [WEIR_STORE_FIND] = "find",
        [WEIR_STORE_LIST] = "list",
        [WEIR_STORE_APPEND] = "append",
        [WEIR_STORE_READ] = "read",
        [WEIR_STORE_JOB_PUT] = "job_put",
        [WEIR_STORE_JOB_CLAIM] = "job_claim",
        [WEIR_STORE_JOB_ACK] = "job_ack",
        [WEIR_STORE_PUBLISH] = "publish",
        [WEIR_STORE_ERASE] = "erase",
    };
    return names[op];
}

int weir_store_init(struct weir_store *s, const struct weir_store_driver *driver)
{
    *s = (struct weir_store){.driver = driver};
    return weir_store_messages_init(&s->messages);
}

void weir_store_finish(struct weir_store *s)
{
    weir_store_messages_finish(&s->messages);
}

void weir_store_destroy(struct weir_store *s)
{
    if (s) {
        weir_store_metrics_stop(s);
        s->driver->destroy(s);
    }
}

struct weir_store_owner *weir_store_owner_create(void (*idle)(void *arg), void *arg)
{
    struct weir_store_owner *o = calloc(1, sizeof(*o));
    if (o) {
        atomic_init(&o->refs, 1);
        o->idle = idle;
        o->arg = arg;
    }
    return o;
}

void weir_store_owner_unref(struct weir_store_owner *o)
{
    /* Release: our uses come before; acquire in the last one: everybody's uses come before. */
    if (o && atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) == 1) {
        free(o);
    }
}

static void owner_enter(struct weir_store_owner *o)
{
    atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed); /* the caller has one */
    atomic_fetch_add(&o->n_calls, 1);
}

/* Sequentially consistent, as `closing` is set and n_calls read in the other order elsewhere: one
 * of the two sides sees the other. */
static void owner_leave(struct weir_store_owner *o)
{
    if (atomic_fetch_sub(&o->n_calls, 1) == 1 && atomic_load(&o->closing) && o->idle) {
        o->idle(o->arg);
    }
    weir_store_owner_unref(o);
}

static enum weir_store_outcome outcome_of(int rc)
{
    switch (rc) {
    case 0: return WEIR_STORE_DONE;
    case WEIR_E_BUSY:
    case WEIR_E_TOOBIG:
    case WEIR_E_GONE: return WEIR_STORE_REFUSED;
    case WEIR_E_NOTFOUND: return WEIR_STORE_MISSING;
    case WEIR_E_TIMEOUT: return WEIR_STORE_TIMED_OUT;
    case WEIR_E_IO: return WEIR_STORE_AWAY;
    case WEIR_E_NOMEM: return WEIR_STORE_FULL;
    default: return WEIR_STORE_FAILED;
    }
}

static void count(struct weir_store *s, enum weir_store_op op, int rc)
{
    atomic_fetch_add_explicit(&s->counts[op][outcome_of(rc)], 1, memory_order_relaxed);
}

int weir_store_call(struct weir_store *s, const struct weir_store_call *call, weir_store_done done,
                    void *arg)
{
    int rc = done ? weir_store_check(call) : WEIR_E_ARG;
    if (rc < 0) {
        if (call->op < WEIR_STORE_N_OPS) {
            atomic_fetch_add_explicit(&s->counts[call->op][WEIR_STORE_FAILED], 1,
                                      memory_order_relaxed);
        }
        return rc;
    }
    struct weir_store_then then = {.done = done, .arg = arg, .owner = call->owner, .op = call->op};
    if (s->driver->flags & WEIR_STORE_SHARED) {
        then.started_us = weir_clock_mono_us();
    }
    if (then.owner) {
        owner_enter(then.owner);
    }
    rc = s->driver->call(s, call, &then);
    if (rc < 0) {
        count(s, call->op, rc);
        if (then.owner) {
            owner_leave(then.owner);
        }
    }
    return rc;
}

int weir_store_limit_open(struct weir_store *s, weir_str tenant, const weir_store_limit *limit,
                          weir_store_limit_state **ret_state)
{
    const struct weir_store_call call = {
        .op = WEIR_STORE_TAKE, .tenant = tenant, .levels = limit, .n = 1};
    int rc = weir_store_check(&call);
    if (rc == 0 && !s->driver->limit_open) {
        rc = WEIR_E_UNSUPPORTED;
    }
    return rc < 0 ? rc : s->driver->limit_open(s, tenant, limit, ret_state);
}

int weir_store_limit_take(struct weir_store *s, weir_store_limit_state *const *limits,
                          const uint64_t *units, uint32_t n, uint64_t now_us, int64_t *ret_left)
{
    int rc = n == 0 || n > WEIR_STORE_MAX_LEVELS
                 ? WEIR_E_ARG
                 : s->driver->limit_take(s, limits, units, n, now_us, ret_left);
    count(s, WEIR_STORE_TAKE, rc);
    return rc;
}

int weir_store_limit_give(struct weir_store *s, weir_store_limit_state *const *limits,
                          const uint64_t *units, uint32_t n, uint64_t now_us)
{
    if (n == 0 || n > WEIR_STORE_MAX_LEVELS) {
        return WEIR_E_ARG;
    }
    s->driver->limit_give(s, limits, units, n, now_us);
    count(s, WEIR_STORE_GIVE, 0);
    return 0;
}

int weir_store_budget_open(struct weir_store *s, weir_str tenant, weir_str key,
                           weir_store_budget_state **ret_state)
{
    const struct weir_store_call call = {.op = WEIR_STORE_GET, .tenant = tenant, .key = key};
    int rc = weir_store_check(&call);
    if (rc == 0 && !s->driver->budget_open) {
        rc = WEIR_E_UNSUPPORTED;
    }
    return rc < 0 ? rc : s->driver->budget_open(s, tenant, key, ret_state);
}

static bool are_holdings(const weir_store_holding *holdings, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (holdings[i].units > WEIR_STORE_MAX_UNITS) {
            return false;
        }
    }
    return n > 0 && n <= WEIR_STORE_MAX_LEVELS;
}

int weir_store_budget_hold(struct weir_store *s, weir_store_holding *holdings, uint32_t n,
                           uint64_t now_us, uint32_t *ret_refused_by)
{
    int rc = are_holdings(holdings, n)
                 ? s->driver->budget_hold(s, holdings, n, now_us, ret_refused_by)
                 : WEIR_E_ARG;
    count(s, WEIR_STORE_RESERVE, rc);
    return rc;
}

int weir_store_budget_settle(struct weir_store *s, weir_store_holding *holdings, uint32_t n,
                             uint64_t now_us)
{
    int rc =
        are_holdings(holdings, n) ? s->driver->budget_settle(s, holdings, n, now_us) : WEIR_E_ARG;
    count(s, WEIR_STORE_SETTLE, rc);
    return rc;
}

void weir_store_complete(struct weir_store *s, const struct weir_store_then *then,
                         weir_store_result *result)
{
    result->struct_size = sizeof(*result);
    count(s, then->op, result->rc);
    if (then->started_us) {
        weir_store_metrics_observe(s, then->op, weir_clock_mono_us() - then->started_us);
    }
    if (!then->owner) {
        then->done(then->arg, result);
        return;
    }
    /* Set on this thread, or after everything under way had ended. */
    if (!atomic_load_explicit(&then->owner->gone, memory_order_acquire)) {
        then->done(then->arg, result);
    }
    owner_leave(then->owner);
}

int weir_store_attach(struct weir_store *s, struct uv_loop_s *loop, bool is_main)
{
    return s->driver->attach ? s->driver->attach(s, loop, is_main) : 0;
}

bool weir_store_detach(struct weir_store *s, bool force)
{
    return s && s->driver->detach ? s->driver->detach(s, force) : true;
}

bool weir_store_is_idle(const struct weir_store *s)
{
    return s->driver->is_idle ? s->driver->is_idle(s) : true;
}

bool weir_store_is_up(const struct weir_store *s)
{
    return s->driver->is_up ? s->driver->is_up(s) : true;
}

int weir_store_subscribe(struct weir_store *s, weir_str channel, weir_store_message fn, void *arg,
                         struct weir_store_subscription **ret_subscription)
{
    if (channel.n == 0 || channel.n > WEIR_STORE_MAX_KEY_BYTES || !fn) {
        return WEIR_E_ARG;
    }
    bool first = false;
    int rc =
        weir_store_messages_subscribe(&s->messages, channel, fn, arg, &first, ret_subscription);
    if (rc == 0 && first && s->driver->subscribed) {
        s->driver->subscribed(s, channel, true);
    }
    return rc;
}

void weir_store_unsubscribe(struct weir_store *s, struct weir_store_subscription *subscription)
{
    char channel[WEIR_STORE_MAX_KEY_BYTES];
    size_t n = subscription->channel_len;
    memcpy(channel, subscription->channel, n);
    bool last = false;
    weir_store_messages_unsubscribe(&s->messages, subscription, &last);
    if (last && s->driver->subscribed) {
        s->driver->subscribed(s, (weir_str){channel, n}, false);
    }
}

void weir_store_set_wake(struct weir_store *s, void (*wake)(void *arg), void *arg)
{
    pthread_mutex_lock(&s->messages.lock);
    s->messages.wake = wake;
    s->messages.wake_arg = arg;
    pthread_mutex_unlock(&s->messages.lock);
}

void weir_store_turn(struct weir_store *s)
{
    weir_store_messages_turn(&s->messages);
}
