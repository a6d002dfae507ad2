/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/memory.h"

#include <stdlib.h>

#include "base/clock.h"
#include "core/metrics/metrics.h"
#include "core/store/memory_handles.h"
#include "core/store/memory_holdings.h"

enum { DEFAULT_MAX_BYTES = 256 * 1024 * 1024, BYTES_AN_ENTRY = 256 };

struct memory_store {
    struct weir_store base; /* first: callers hold this */
    struct weir_store_memory_options options;
    struct weir_store_map map;
    _Atomic uint64_t versions;
    struct weir_metrics *metrics;
    struct weir_metric_family *entries, *bytes, *max_bytes, *evictions, *forgotten, *refusals;
};

static struct memory_store *from(struct weir_store *s)
{
    return (struct memory_store *)s;
}

static uint64_t now_us(const struct memory_store *m)
{
    return m->options.now_us ? m->options.now_us(m->options.now_arg) : weir_clock_mono_us();
}

static weir_store_memory_op *const ops[WEIR_STORE_N_OPS] = {
    [WEIR_STORE_TAKE] = weir_store_memory_take,
    [WEIR_STORE_GIVE] = weir_store_memory_give,
    [WEIR_STORE_RESERVE] = weir_store_memory_reserve,
    [WEIR_STORE_SETTLE] = weir_store_memory_settle,
    [WEIR_STORE_GET] = weir_store_memory_get,
    [WEIR_STORE_SET] = weir_store_memory_set,
    [WEIR_STORE_INVALIDATE] = weir_store_memory_invalidate,
    [WEIR_STORE_REMOVE] = weir_store_memory_remove,
    [WEIR_STORE_ADD] = weir_store_memory_add,
    [WEIR_STORE_PUT] = weir_store_memory_put,
    [WEIR_STORE_FIND] = weir_store_memory_find,
    [WEIR_STORE_LIST] = weir_store_memory_list,
    [WEIR_STORE_APPEND] = weir_store_memory_append,
    [WEIR_STORE_READ] = weir_store_memory_read,
    [WEIR_STORE_JOB_PUT] = weir_store_memory_job_put,
    [WEIR_STORE_JOB_CLAIM] = weir_store_memory_job_claim,
    [WEIR_STORE_JOB_ACK] = weir_store_memory_job_ack,
    [WEIR_STORE_ERASE] = weir_store_memory_erase,
};

static struct weir_store_place place_in(struct memory_store *m, struct weir_store_shard *s,
                                        uint64_t time_us)
{
    struct weir_store_place p = {.shard = s, .versions = &m->versions};
    pthread_mutex_lock(&s->lock);
    p.now_us = time_us && !m->options.now_us ? time_us : now_us(m);
    if (p.now_us < s->last_us) { /* time does not go back within a shard */
        p.now_us = s->last_us;
    }
    s->last_us = p.now_us;
    return p;
}

static int call(struct weir_store *s, const struct weir_store_call *c,
                const struct weir_store_then *then)
{
    struct memory_store *m = from(s);
    struct weir_store_answer answer;
    answer.result = (weir_store_result){0};
    answer.block = NULL;
    if (c->op == WEIR_STORE_PUBLISH) {
        weir_store_messages_add(&s->messages, c->key, c->value);
    } else {
        uint64_t tenant_hash = weir_store_tenant_hash(c->tenant);
        struct weir_store_place p =
            place_in(m, weir_store_map_shard_at(&m->map, tenant_hash), c->now_us);
        p.tenant_hash = tenant_hash;
        ops[c->op](&p, c, &answer);
        pthread_mutex_unlock(&p.shard->lock);
    }
    weir_store_complete(s, then, &answer.result);
    free(answer.block);
    return 0;
}

static int limit_open(struct weir_store *s, weir_str tenant, const weir_store_limit *l,
                      weir_store_limit_state **ret_state)
{
    return weir_store_handle_open(weir_store_map_shard(&from(s)->map, tenant), tenant, l,
                                  ret_state);
}

static void limit_close(struct weir_store *s, weir_store_limit_state *h)
{
    (void)s;
    weir_store_handle_close(h);
}

static int limit_take(struct weir_store *s, weir_store_limit_state *const *h, const uint64_t *units,
                      uint32_t n, uint64_t time_us, int64_t *ret_left)
{
    struct weir_store_place p = place_in(from(s), h[0]->shard, time_us);
    int rc = weir_store_handles_take(&p, h, units, n, ret_left);
    pthread_mutex_unlock(&p.shard->lock);
    return rc;
}

static void limit_give(struct weir_store *s, weir_store_limit_state *const *h,
                       const uint64_t *units, uint32_t n, uint64_t time_us)
{
    struct weir_store_place p = place_in(from(s), h[0]->shard, time_us);
    weir_store_handles_give(&p, h, units, n);
    pthread_mutex_unlock(&p.shard->lock);
}

static int budget_open(struct weir_store *s, weir_str tenant, weir_str key,
                       weir_store_budget_state **ret_state)
{
    return weir_store_budget_state_open(weir_store_map_shard(&from(s)->map, tenant), tenant, key,
                                        ret_state);
}

static void budget_close(struct weir_store *s, weir_store_budget_state *b)
{
    (void)s;
    weir_store_budget_state_close(b);
}

static int budget_hold(struct weir_store *s, weir_store_holding *h, uint32_t n, uint64_t time_us,
                       uint32_t *ret_refused_by)
{
    struct weir_store_place p = place_in(from(s), h[0].budget->shard, time_us);
    int rc = weir_store_holdings_take(&p, h, n, ret_refused_by);
    pthread_mutex_unlock(&p.shard->lock);
    return rc;
}

static int budget_settle(struct weir_store *s, weir_store_holding *h, uint32_t n, uint64_t time_us)
{
    struct weir_store_place p = place_in(from(s), h[0].budget->shard, time_us);
    int rc = weir_store_holdings_settle(&p, h, n);
    pthread_mutex_unlock(&p.shard->lock);
    return rc;
}

static struct weir_metric_family *define(struct memory_store *m, enum weir_metrics_kind kind,
                                         const char *name, const char *help)
{
    return weir_metrics_define(
        m->metrics, &(struct weir_metric_spec){.kind = kind, .name = name, .help = help}, NULL);
}

static int define_metrics(struct weir_store *s, struct weir_metrics *metrics)
{
    struct memory_store *m = from(s);
    m->metrics = metrics;
    m->entries =
        define(m, WEIR_METRICS_GAUGE, "weir_store_memory_entries", "Entries in the memory store.");
    m->bytes = define(m, WEIR_METRICS_GAUGE, "weir_store_memory_bytes",
                      "Bytes of keys, values and their records in the memory store.");
    m->max_bytes = define(m, WEIR_METRICS_GAUGE, "weir_store_memory_max_bytes",
                          "Room of the memory store: store.max_bytes.");
    m->evictions = define(m, WEIR_METRICS_COUNTER, "weir_store_memory_evictions_total",
                          "Values that went because the memory store was full.");
    m->forgotten = define(m, WEIR_METRICS_COUNTER, "weir_store_memory_forgotten_total",
                          "Settled reservations whose ids were forgotten early, for want of room.");
    m->refusals = define(m, WEIR_METRICS_COUNTER, "weir_store_memory_refusals_total",
                         "Times that the memory store had no room.");
    return m->entries && m->bytes && m->max_bytes && m->evictions && m->forgotten && m->refusals
               ? 0
               : WEIR_E_NOMEM;
}

static void collect(struct weir_store *s)
{
    struct memory_store *m = from(s);
    struct weir_store_memory_stats stats;
    weir_store_memory_get_stats(s, &stats);
    weir_metric_set(weir_metric_series(m->entries, NULL, 0), (double)stats.n_entries);
    weir_metric_set(weir_metric_series(m->bytes, NULL, 0), (double)stats.n_bytes);
    weir_metric_set(weir_metric_series(m->max_bytes, NULL, 0), (double)m->map.max_bytes);
    weir_metric_set_total(weir_metric_series(m->evictions, NULL, 0), (double)stats.evicted);
    weir_metric_set_total(weir_metric_series(m->forgotten, NULL, 0), (double)stats.forgotten);
    weir_metric_set_total(weir_metric_series(m->refusals, NULL, 0), (double)stats.refused);
}

static void destroy(struct weir_store *s)
{
    struct memory_store *m = from(s);
    weir_store_map_finish(&m->map);
    weir_store_finish(s);
    free(m);
}

static const struct weir_store_driver driver = {
    .name = "memory",
    .call = call,
    .limit_open = limit_open,
    .limit_close = limit_close,
    .limit_take = limit_take,
    .limit_give = limit_give,
    .budget_open = budget_open,
    .budget_close = budget_close,
    .budget_hold = budget_hold,
    .budget_settle = budget_settle,
    .define_metrics = define_metrics,
    .collect = collect,
    .destroy = destroy,
};

int weir_store_memory_create(const struct weir_store_memory_options *options,
                             struct weir_store **ret_store)
{
    struct memory_store *m = calloc(1, sizeof(*m));
    if (!m) {
        return WEIR_E_NOMEM;
    }
    int rc = weir_store_init(&m->base, &driver);
    if (rc < 0) {
        free(m);
        return rc;
    }
    m->options = *options;
    size_t max_bytes = options->max_bytes ? options->max_bytes : DEFAULT_MAX_BYTES;
    rc = weir_store_map_init(
        &m->map, options->max_entries ? options->max_entries : max_bytes / BYTES_AN_ENTRY,
        max_bytes);
    if (rc < 0) {
        destroy(&m->base);
        return rc;
    }
    *ret_store = &m->base;
    return 0;
}

void weir_store_memory_get_stats(struct weir_store *store,
                                 struct weir_store_memory_stats *ret_stats)
{
    const struct weir_store_map *map = &from(store)->map;
    *ret_stats = (struct weir_store_memory_stats){
        .n_entries = atomic_load_explicit(&map->n_entries, memory_order_relaxed),
        .n_bytes = atomic_load_explicit(&map->n_bytes, memory_order_relaxed),
        .evicted = atomic_load_explicit(&map->evicted, memory_order_relaxed),
        .forgotten = atomic_load_explicit(&map->forgotten, memory_order_relaxed),
        .expired = atomic_load_explicit(&map->expired, memory_order_relaxed),
        .refused = atomic_load_explicit(&map->refused, memory_order_relaxed),
    };
}
