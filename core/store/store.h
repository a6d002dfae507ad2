/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The shared store behind "weir.store/1": one interface, several drivers.
 *
 * A driver embeds struct weir_store as its first member. Meaning, bounds and atomicity are those of
 * weir/store.h; the host hands a plugin's calls over as they are.
 * Ownership: destroy frees the driver. Threads: operations [any]; `done` is called on the calling
 * thread's loop, and by a driver that needs no waiting before the operation returns.
 * Errors: a negative return means that `done` is not called: WEIR_E_ARG, WEIR_E_TOOBIG,
 * WEIR_E_NOMEM. */
#include "base/error.h"
#include "weir/store.h"

enum {
    WEIR_STORE_MAX_KEY_BYTES = 512,
    WEIR_STORE_MAX_VALUE_BYTES = 1024 * 1024,
    WEIR_STORE_MAX_TAGS = 8,
};

struct weir_store;

struct weir_store_driver {
    const char *name; /* "memory" */
    void (*destroy)(struct weir_store *);
    int (*gcra_take)(struct weir_store *, weir_str tenant, weir_str key, uint64_t units,
                     uint64_t limit, uint64_t period_us, uint64_t burst, weir_store_done,
                     void *arg);
    int (*reserve)(struct weir_store *, weir_str tenant, weir_str key, weir_str id, uint64_t units,
                   uint64_t limit, uint64_t ttl_ms, weir_store_done, void *arg);
    int (*settle)(struct weir_store *, weir_str tenant, weir_str key, weir_str id, uint64_t units,
                  weir_store_done, void *arg);
    int (*get)(struct weir_store *, weir_str tenant, weir_str key, weir_store_done, void *arg);
    int (*set)(struct weir_store *, weir_str tenant, weir_str key, weir_str value, uint64_t ttl_ms,
               const weir_str *tags, uint32_t n_tags, weir_store_done, void *arg);
    int (*invalidate)(struct weir_store *, weir_str tenant, weir_str tag, weir_store_done,
                      void *arg);
    int (*add)(struct weir_store *, weir_str tenant, weir_str key, int64_t delta, uint64_t ttl_ms,
               weir_store_done, void *arg);
};

struct weir_store {
    const struct weir_store_driver *driver;
};

static inline void weir_store_destroy(struct weir_store *s)
{
    if (s) {
        s->driver->destroy(s);
    }
}
