/* SPDX-License-Identifier: Apache-2.0 */
/* Host extension "weir.store/1": shared state with the same meaning in every driver.
 *
 * Semantic operations, each atomic over all replicas that share the store. `done` is called exactly
 * once, on the loop that called, before or after the operation returns; a negative return means
 * that it is not called. Keys are put under the tenant; one tenant cannot name another's.
 * Bounds: keys 512 bytes, values 1 MiB. Time is the store's own clock. */
#ifndef WEIR_STORE_H
#define WEIR_STORE_H

#include "weir/host.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_EXT_STORE "weir.store/1"

typedef struct weir_store_result {
    uint32_t struct_size;
    int32_t rc;              /* 0, WEIR_E_NOTFOUND, WEIR_E_BUSY (limit reached), WEIR_E_TIMEOUT, … */
    int64_t number;          /* counter value, remaining units */
    uint64_t retry_after_us; /* with WEIR_E_BUSY: when the same take would pass */
    uint64_t reset_us;       /* until the limit is whole again */
    weir_str value;          /* borrowed during done() */
} weir_store_result;

typedef void (*weir_store_done)(void *arg, const weir_store_result *);

typedef struct weir_ext_store {
    uint32_t struct_size;
    uint32_t reserved;
    /* Generic cell rate algorithm (ITU-T I.371): takes `units` from a limit of `limit` units per
     * period_us with `burst` units of depth. All or nothing. [loop] */
    int (*gcra_take)(const weir_host *, weir_str tenant, weir_str key, uint64_t units,
                     uint64_t limit, uint64_t period_us, uint64_t burst, weir_store_done, void *arg);
    /* Reserves `units` of a budget of `limit`, under an id; settle replaces them by what was used. */
    int (*reserve)(const weir_host *, weir_str tenant, weir_str key, weir_str id, uint64_t units,
                   uint64_t limit, uint64_t ttl_ms, weir_store_done, void *arg);
    int (*settle)(const weir_host *, weir_str tenant, weir_str key, weir_str id, uint64_t units,
                  weir_store_done, void *arg);
    int (*get)(const weir_host *, weir_str tenant, weir_str key, weir_store_done, void *arg);
    /* tags: up to 8 words for invalidate(). ttl_ms 0: for ever. */
    int (*set)(const weir_host *, weir_str tenant, weir_str key, weir_str value, uint64_t ttl_ms,
               const weir_str *tags, uint32_t n_tags, weir_store_done, void *arg);
    int (*invalidate)(const weir_host *, weir_str tenant, weir_str tag, weir_store_done, void *arg);
    int (*add)(const weir_host *, weir_str tenant, weir_str key, int64_t delta, uint64_t ttl_ms,
               weir_store_done, void *arg);
} weir_ext_store;

#ifdef __cplusplus
}
#endif
#endif
