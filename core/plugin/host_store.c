/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/host_store.h"

#include "core/plugin/plugins_internal.h"
#include "core/store/store.h"

static struct weir_store *store_of(const weir_host *h)
{
    return weir_host_instance(h)->plugins->options.store;
}

static int gcra_take(const weir_host *h, weir_str tenant, weir_str key, uint64_t units,
                     uint64_t limit, uint64_t period_us, uint64_t burst, weir_store_done done,
                     void *arg)
{
    struct weir_store *s = store_of(h);
    return s->driver->gcra_take(s, tenant, key, units, limit, period_us, burst, done, arg);
}

static int reserve(const weir_host *h, weir_str tenant, weir_str key, weir_str id, uint64_t units,
                   uint64_t limit, uint64_t ttl_ms, weir_store_done done, void *arg)
{
    struct weir_store *s = store_of(h);
    return s->driver->reserve(s, tenant, key, id, units, limit, ttl_ms, done, arg);
}

static int settle(const weir_host *h, weir_str tenant, weir_str key, weir_str id, uint64_t units,
                  weir_store_done done, void *arg)
{
    struct weir_store *s = store_of(h);
    return s->driver->settle(s, tenant, key, id, units, done, arg);
}

static int get(const weir_host *h, weir_str tenant, weir_str key, weir_store_done done, void *arg)
{
    struct weir_store *s = store_of(h);
    return s->driver->get(s, tenant, key, done, arg);
}

static int set(const weir_host *h, weir_str tenant, weir_str key, weir_str value, uint64_t ttl_ms,
               const weir_str *tags, uint32_t n_tags, weir_store_done done, void *arg)
{
    struct weir_store *s = store_of(h);
    return s->driver->set(s, tenant, key, value, ttl_ms, tags, n_tags, done, arg);
}

static int invalidate(const weir_host *h, weir_str tenant, weir_str tag, weir_store_done done,
                      void *arg)
{
    struct weir_store *s = store_of(h);
    return s->driver->invalidate(s, tenant, tag, done, arg);
}

static int add(const weir_host *h, weir_str tenant, weir_str key, int64_t delta, uint64_t ttl_ms,
               weir_store_done done, void *arg)
{
    struct weir_store *s = store_of(h);
    return s->driver->add(s, tenant, key, delta, ttl_ms, done, arg);
}

const weir_ext_store weir_host_store = {
    .struct_size = sizeof(weir_ext_store),
    .gcra_take = gcra_take,
    .reserve = reserve,
    .settle = settle,
    .get = get,
    .set = set,
    .invalidate = invalidate,
    .add = add,
};
