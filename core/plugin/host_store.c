/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/host_store.h"

#include "core/plugin/plugins_internal.h"
#include "core/plugin/run_internal.h"
#include "core/store/store.h"

/* A driver that needs no waiting is done before the call returns: nothing to keep track of. */
static bool answers_later(const struct weir_store *s)
{
    return s->driver->flags & WEIR_STORE_SHARED;
}

/* The time for a memory store, on a loop's thread: one look at the clock in a turn. 0: it looks. */
static uint64_t turn_us(void)
{
    struct weir_plugin_loop *loop = weir_plugin_loop_own();
    return loop ? weir_plugin_loop_turn_us(loop) : 0;
}

static int call(const weir_host *h, struct weir_store_call *c, weir_store_done done, void *arg)
{
    const struct weir_plugin_instance *inst = weir_host_instance(h);
    struct weir_store *s = inst->plugins->options.store;
    c->owner = answers_later(s) ? inst->store_owner : NULL;
    c->now_us = turn_us();
    return weir_store_call(s, c, done, arg);
}

static int take(const weir_host *h, weir_str tenant, const weir_store_limit *levels,
                uint32_t n_levels, weir_store_done done, void *arg)
{
    return call(h,
                &(struct weir_store_call){
                    .op = WEIR_STORE_TAKE, .tenant = tenant, .levels = levels, .n = n_levels},
                done, arg);
}

static int give(const weir_host *h, weir_str tenant, const weir_store_limit *levels,
                uint32_t n_levels, weir_store_done done, void *arg)
{
    return call(h,
                &(struct weir_store_call){
                    .op = WEIR_STORE_GIVE, .tenant = tenant, .levels = levels, .n = n_levels},
                done, arg);
}

static int reserve(const weir_host *h, weir_str tenant, const weir_store_hold *holds,
                   uint32_t n_holds, weir_str id, uint64_t ttl_ms, uint32_t flags,
                   weir_store_done done, void *arg)
{
    return call(h,
                &(struct weir_store_call){.op = WEIR_STORE_RESERVE,
                                          .tenant = tenant,
                                          .id = id,
                                          .holds = holds,
                                          .n = n_holds,
                                          .number = ttl_ms,
                                          .flags = flags},
                done, arg);
}

static int settle(const weir_host *h, weir_str tenant, const weir_store_hold *holds,
                  uint32_t n_holds, weir_str id, weir_store_done done, void *arg)
{
    return call(
        h,
        &(struct weir_store_call){
            .op = WEIR_STORE_SETTLE, .tenant = tenant, .id = id, .holds = holds, .n = n_holds},
        done, arg);
}

static int get(const weir_host *h, weir_str tenant, weir_str key, weir_store_done done, void *arg)
{
    return call(h, &(struct weir_store_call){.op = WEIR_STORE_GET, .tenant = tenant, .key = key},
                done, arg);
}

static int set(const weir_host *h, weir_str tenant, weir_str key, weir_str value, uint64_t ttl_ms,
               const weir_str *tags, uint32_t n_tags, weir_store_done done, void *arg)
{
    return call(h,
                &(struct weir_store_call){.op = WEIR_STORE_SET,
                                          .tenant = tenant,
                                          .key = key,
                                          .value = value,
                                          .tags = tags,
                                          .n = n_tags,
                                          .number = ttl_ms},
                done, arg);
}

static int look(const weir_host *h, weir_str tenant, weir_str key, const weir_store_tags *tags,
                weir_store_done done, void *arg)
{
    return call(
        h,
        &(struct weir_store_call){
            .op = WEIR_STORE_GET, .tenant = tenant, .key = key, .tags = tags->list, .n = tags->n},
        done, arg);
}

static int keep(const weir_host *h, weir_str tenant, weir_str key, weir_str value, uint64_t ttl_ms,
                const weir_store_tags *tags, weir_store_done done, void *arg)
{
    return call(h,
                &(struct weir_store_call){.op = WEIR_STORE_SET,
                                          .tenant = tenant,
                                          .key = key,
                                          .value = value,
                                          .tags = tags->list,
                                          .n = tags->n,
                                          .flags = WEIR_STORE_MARKED,
                                          .number = ttl_ms,
                                          .delta = tags->mark},
                done, arg);
}

static int invalidate(const weir_host *h, weir_str tenant, weir_str tag, weir_store_done done,
                      void *arg)
{
    return call(
        h, &(struct weir_store_call){.op = WEIR_STORE_INVALIDATE, .tenant = tenant, .key = tag},
        done, arg);
}

static int remove_value(const weir_host *h, weir_str tenant, weir_str key, weir_store_done done,
                        void *arg)
{
    return call(h, &(struct weir_store_call){.op = WEIR_STORE_REMOVE, .tenant = tenant, .key = key},
                done, arg);
}

static int add(const weir_host *h, weir_str tenant, weir_str key, int64_t delta, uint64_t ttl_ms,
               weir_store_done done, void *arg)
{
    return call(
        h,
        &(struct weir_store_call){
            .op = WEIR_STORE_ADD, .tenant = tenant, .key = key, .delta = delta, .number = ttl_ms},
        done, arg);
}

static int put(const weir_host *h, weir_str tenant, weir_str collection, weir_str name,
               weir_str value, uint64_t version, weir_store_done done, void *arg)
{
    return call(h,
                &(struct weir_store_call){.op = WEIR_STORE_PUT,
                                          .tenant = tenant,
                                          .key = collection,
                                          .id = name,
                                          .value = value,
                                          .number = version},
                done, arg);
}

static int find(const weir_host *h, weir_str tenant, weir_str collection, weir_str name,
                weir_store_done done, void *arg)
{
    return call(h,
                &(struct weir_store_call){
                    .op = WEIR_STORE_FIND, .tenant = tenant, .key = collection, .id = name},
                done, arg);
}

static int list(const weir_host *h, weir_str tenant, weir_str collection, weir_str after,
                uint32_t n, weir_store_done done, void *arg)
{
    return call(
        h,
        &(struct weir_store_call){
            .op = WEIR_STORE_LIST, .tenant = tenant, .key = collection, .id = after, .n = n},
        done, arg);
}

static int append(const weir_host *h, weir_str tenant, weir_str log, weir_str id, weir_str value,
                  weir_store_done done, void *arg)
{
    return call(
        h,
        &(struct weir_store_call){
            .op = WEIR_STORE_APPEND, .tenant = tenant, .key = log, .id = id, .value = value},
        done, arg);
}

static int read_log(const weir_host *h, weir_str tenant, weir_str log, uint64_t after, uint32_t n,
                    weir_store_done done, void *arg)
{
    return call(h,
                &(struct weir_store_call){
                    .op = WEIR_STORE_READ, .tenant = tenant, .key = log, .number = after, .n = n},
                done, arg);
}

static int job_put(const weir_host *h, weir_str tenant, weir_str queue, weir_str id, weir_str value,
                   uint64_t delay_ms, weir_store_done done, void *arg)
{
    return call(h,
                &(struct weir_store_call){.op = WEIR_STORE_JOB_PUT,
                                          .tenant = tenant,
                                          .key = queue,
                                          .id = id,
                                          .value = value,
                                          .number = delay_ms},
                done, arg);
}

static int job_claim(const weir_host *h, weir_str tenant, weir_str queue, uint32_t n,
                     uint64_t lease_ms, weir_store_done done, void *arg)
{
    return call(
        h,
        &(struct weir_store_call){
            .op = WEIR_STORE_JOB_CLAIM, .tenant = tenant, .key = queue, .n = n, .number = lease_ms},
        done, arg);
}

static int job_ack(const weir_host *h, weir_str tenant, weir_str queue, weir_str id,
                   weir_store_done done, void *arg)
{
    return call(h,
                &(struct weir_store_call){
                    .op = WEIR_STORE_JOB_ACK, .tenant = tenant, .key = queue, .id = id},
                done, arg);
}

static int publish(const weir_host *h, weir_str channel, weir_str message, weir_store_done done,
                   void *arg)
{
    return call(
        h, &(struct weir_store_call){.op = WEIR_STORE_PUBLISH, .key = channel, .value = message},
        done, arg);
}

static int subscribe(const weir_host *h, weir_str channel, weir_store_message fn, void *arg)
{
    struct weir_plugin_instance *inst = weir_host_instance(h);
    if (!inst->defining) {
        return WEIR_E_ARG;
    }
    if (inst->n_subscriptions == WEIR_INSTANCE_MAX_SUBSCRIPTIONS) {
        return WEIR_E_NOMEM;
    }
    int rc = weir_store_subscribe(inst->plugins->options.store, channel, fn, arg,
                                  &inst->subscriptions[inst->n_subscriptions]);
    inst->n_subscriptions += rc == 0;
    return rc;
}

static int erase(const weir_host *h, weir_str tenant, weir_store_done done, void *arg)
{
    return call(h, &(struct weir_store_call){.op = WEIR_STORE_ERASE, .tenant = tenant}, done, arg);
}

static int limit_open(const weir_host *h, weir_str tenant, const weir_store_limit *limit,
                      weir_store_limit_state **ret_state)
{
    return weir_store_limit_open(weir_host_instance(h)->plugins->options.store, tenant, limit,
                                 ret_state);
}

static void limit_close(const weir_host *h, weir_store_limit_state *limit)
{
    struct weir_store *s = weir_host_instance(h)->plugins->options.store;
    s->driver->limit_close(s, limit);
}

static int limit_take(const weir_host *h, weir_store_limit_state *const *limits,
                      const uint64_t *units, uint32_t n, int64_t *ret_left)
{
    return weir_store_limit_take(weir_host_instance(h)->plugins->options.store, limits, units, n,
                                 turn_us(), ret_left);
}

static int limit_give(const weir_host *h, weir_store_limit_state *const *limits,
                      const uint64_t *units, uint32_t n)
{
    return weir_store_limit_give(weir_host_instance(h)->plugins->options.store, limits, units, n,
                                 turn_us());
}

static int budget_open(const weir_host *h, weir_str tenant, weir_str key,
                       weir_store_budget_state **ret_state)
{
    return weir_store_budget_open(weir_host_instance(h)->plugins->options.store, tenant, key,
                                  ret_state);
}

static void budget_close(const weir_host *h, weir_store_budget_state *budget)
{
    struct weir_store *s = weir_host_instance(h)->plugins->options.store;
    s->driver->budget_close(s, budget);
}

static int budget_hold(const weir_host *h, weir_store_holding *holdings, uint32_t n,
                       uint32_t *ret_refused_by)
{
    return weir_store_budget_hold(weir_host_instance(h)->plugins->options.store, holdings, n,
                                  turn_us(), ret_refused_by);
}

static int budget_settle(const weir_host *h, weir_store_holding *holdings, uint32_t n)
{
    return weir_store_budget_settle(weir_host_instance(h)->plugins->options.store, holdings, n,
                                    turn_us());
}

#define FUNCTIONS                                                                                  \
    .struct_size = sizeof(weir_ext_store), .take = take, .give = give, .reserve = reserve,         \
    .settle = settle, .get = get, .set = set, .invalidate = invalidate, .remove = remove_value,    \
    .add = add, .put = put, .find = find, .list = list, .append = append, .read = read_log,        \
    .job_put = job_put, .job_claim = job_claim, .job_ack = job_ack, .publish = publish,            \
    .subscribe = subscribe, .erase = erase, .look = look, .keep = keep

static const weir_ext_store embedded = {FUNCTIONS,
                                        .limit_open = limit_open,
                                        .limit_close = limit_close,
                                        .limit_take = limit_take,
                                        .limit_give = limit_give,
                                        .budget_open = budget_open,
                                        .budget_close = budget_close,
                                        .budget_hold = budget_hold,
                                        .budget_settle = budget_settle};
static const weir_ext_store shared = {FUNCTIONS, .flags = WEIR_STORE_SHARED | WEIR_STORE_DURABLE};

const weir_ext_store *weir_host_store(const struct weir_store *s)
{
    return answers_later(s) ? &shared : &embedded;
}

/* [any] */
static void wake_reaper(void *arg)
{
    struct weir_plugins *ps = arg;
    weir_plugin_loop_post(ps->options.main_loop, &ps->reap);
}

int weir_instance_store_start(struct weir_plugin_instance *inst)
{
    if (!inst->plugins->options.store) {
        return 0;
    }
    inst->store_owner = weir_store_owner_create(wake_reaper, inst->plugins);
    return inst->store_owner ? 0 : WEIR_E_NOMEM;
}

bool weir_instance_store_is_idle(struct weir_plugin_instance *inst)
{
    if (!inst->store_owner) {
        return true;
    }
    /* In this order, so that a call that ends now is seen here or sees it itself. */
    atomic_store(&inst->store_owner->closing, true);
    return atomic_load(&inst->store_owner->n_calls) == 0;
}

void weir_instance_store_unsubscribe(struct weir_plugin_instance *inst)
{
    while (inst->n_subscriptions) {
        weir_store_unsubscribe(inst->plugins->options.store,
                               inst->subscriptions[--inst->n_subscriptions]);
    }
}

void weir_instance_store_end(struct weir_plugin_instance *inst)
{
    if (inst->store_owner) {
        atomic_store(&inst->store_owner->closing, false); /* the plugin host may go as well */
        atomic_store_explicit(&inst->store_owner->gone, true, memory_order_release);
        weir_store_owner_unref(inst->store_owner);
        inst->store_owner = NULL;
    }
}

/* [any] */
static void wake_messages(void *arg)
{
    struct weir_plugins *ps = arg;
    weir_plugin_loop_post(ps->options.main_loop, &ps->messages);
}

static void give_messages(struct weir_plugin_task *task)
{
    const struct weir_plugins *ps =
        (struct weir_plugins *)((char *)task - offsetof(struct weir_plugins, messages));
    weir_store_turn(ps->options.store);
}

void weir_plugins_watch_store(struct weir_plugins *ps)
{
    if (ps->options.store) {
        ps->messages.fn = give_messages;
        weir_store_set_wake(ps->options.store, wake_messages, ps);
    }
}

void weir_plugins_unwatch_store(struct weir_plugins *ps)
{
    if (ps->messages.fn) {
        weir_store_set_wake(ps->options.store, NULL, NULL);
        (void)weir_plugin_loop_unpost(ps->options.main_loop, &ps->messages);
    }
}
