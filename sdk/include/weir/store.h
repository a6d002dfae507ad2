/* SPDX-License-Identifier: Apache-2.0 */
/* Host extension "weir.store/1": shared state with the same meaning in every driver.
 *
 * Semantic operations, each atomic over all replicas that share the store; no key names a driver's
 * structure and no driver is visible but by its flags. Keys are put under the tenant; one tenant
 * cannot name another's, and all keys of one call lie under one tenant. The tenant "" holds what
 * belongs to the whole installation.
 * Completion: `done` is called exactly once, on the loop that called, before or after the operation
 * returns; a negative return means that it is not called. It is never called after the instance was
 * destroyed: the host waits for what is under way.
 * Errors in a result: WEIR_E_TIMEOUT (no answer in store.timeout, or the connection broke: the
 * operation may have happened), WEIR_E_IO (the store is not there or too many operations wait:
 * nothing happened), WEIR_E_NOMEM (the store is full: nothing happened), and those named at each
 * operation. A negative return is WEIR_E_ARG or WEIR_E_TOOBIG (an argument is out of bounds) or
 * WEIR_E_NOMEM.
 * Bounds: keys, ids, names, tags and tenants 512 bytes, values and messages 1 MiB,
 * WEIR_STORE_MAX_LEVELS levels, holds and tags, no key twice in one call; units of budgets 2^53.
 * Time is the store's own clock. */
#ifndef WEIR_STORE_H
#define WEIR_STORE_H

#include "weir/host.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_EXT_STORE "weir.store/1"

enum { WEIR_STORE_MAX_LEVELS = 16, WEIR_STORE_MAX_ITEMS = 1024 };

enum weir_store_flags {
    WEIR_STORE_SHARED = 1u << 0, /* several replicas; an operation costs a round trip */
    WEIR_STORE_DURABLE = 1u << 1 /* outlives this process */
};

/* One level of a rate limit: `units` of `limit` units per period_us, `burst` units deep. */
typedef struct weir_store_limit {
    weir_str key;
    uint64_t units, limit, period_us, burst;
} weir_store_limit;

/* One budget in a reservation: `units` of a total of `limit`. */
typedef struct weir_store_hold {
    weir_str key;
    uint64_t units, limit;
} weir_store_hold;

enum {
    /* What becomes of a reservation that nobody settled when its time is over: its units count as
     * used. Without the flag they are free again. */
    WEIR_STORE_KEEP = 1u << 0
};

/* What is left of one level or budget. */
typedef struct weir_store_left {
    int64_t units;     /* that could be taken now */
    uint64_t reset_us; /* until the limit is whole again; budgets: 0 */
} weir_store_left;

typedef struct weir_store_item { /* of list, read, claim */
    weir_str key;                /* name or id */
    weir_str value;
    uint64_t number; /* version, place in a log, or how often a job was claimed */
} weir_store_item;

typedef struct weir_store_result {
    uint32_t struct_size;
    int32_t rc;
    int64_t number;          /* counter value, version, place in a log */
    uint64_t retry_after_us; /* take with WEIR_E_BUSY: when the same would pass */
    weir_str value;
    const weir_store_left *left; /* [n_left] in the order of the call's levels or holds */
    uint32_t n_left;
    uint32_t refused_by; /* WEIR_E_BUSY, WEIR_E_TOOBIG: index of the level or hold that refused */
    const weir_store_item *items; /* [n_items] */
    uint32_t n_items;
    uint32_t more;   /* list, read: 1 when another call behind the last item goes on */
} weir_store_result; /* all of it borrowed during done() */

typedef void (*weir_store_done)(void *arg, const weir_store_result *);
/* lost = 1: messages may have been missed (the connection was lost); read again what they announce.
 */
typedef void (*weir_store_message)(void *arg, weir_str message, int lost);

/* A limit kept at hand; see limit_open(). */
typedef struct weir_store_limit_state weir_store_limit_state;

/* A budget kept at hand; see budget_open(). */
typedef struct weir_store_budget_state weir_store_budget_state;

/* What a request holds of one. */
typedef struct weir_store_holding {
    weir_store_budget_state *budget;
    uint64_t units;      /* to be held; to settle: that were used */
    uint64_t limit;      /* of all units */
    int64_t left;        /* after the call; may be negative */
    uint64_t held, mark; /* the store's, from budget_hold() to budget_settle(); 0 before */
} weir_store_holding;

/* A value's tags, at least one, and what look() said of them. */
typedef struct weir_store_tags {
    const weir_str *list;
    uint32_t n;
    int64_t mark; /* keep() */
} weir_store_tags;

typedef struct weir_ext_store {
    uint32_t struct_size;
    uint32_t flags; /* enum weir_store_flags */

    /* Limits: the generic cell rate algorithm (ITU-T I.371), all levels or none. WEIR_E_BUSY: a
     * level refused, the one with the longest wait is named; WEIR_E_TOOBIG: more units than the
     * burst, no wait would help. units 0 only looks. left[] is what is left after the call. Taking
     * more than is needed now and spending it later is a lease. [loop][main] */
    int (*take)(const weir_host *, weir_str tenant, const weir_store_limit *levels,
                uint32_t n_levels, weir_store_done, void *arg);
    /* Gives back units that were taken and not used; never beyond a whole limit. */
    int (*give)(const weir_host *, weir_str tenant, const weir_store_limit *levels,
                uint32_t n_levels, weir_store_done, void *arg);

    /* Budgets: reserves all holds or none under one id, for ttl_ms. The same id again replaces its
     * units and time. WEIR_E_BUSY: a hold refused; WEIR_E_GONE: the id was settled already.
     * settle() replaces what was reserved, or was kept after its time, by the units used, which may
     * be more than reserved or than the limit; holds that the id does not have are counted all the
     * same, so a late settle loses nothing. Settling an id again within a minute counts once, in
     * the memory driver as long as it has room to remember it: else the oldest ids are forgotten
     * first. left[] may be negative. A budget that nobody touched for 40 days is gone. */
    int (*reserve)(const weir_host *, weir_str tenant, const weir_store_hold *holds,
                   uint32_t n_holds, weir_str id, uint64_t ttl_ms, uint32_t flags, weir_store_done,
                   void *arg);
    int (*settle)(const weir_host *, weir_str tenant, const weir_store_hold *holds,
                  uint32_t n_holds, weir_str id, weir_store_done, void *arg);

    /* Values, which may be evicted when memory is short. get: WEIR_E_NOTFOUND. number: the value's
     * version, of get and set, which rises with every set; of remove and invalidate: how many are
     * gone. ttl_ms 0: for ever; tags for invalidate(). */
    int (*get)(const weir_host *, weir_str tenant, weir_str key, weir_store_done, void *arg);
    int (*set)(const weir_host *, weir_str tenant, weir_str key, weir_str value, uint64_t ttl_ms,
               const weir_str *tags, uint32_t n_tags, weir_store_done, void *arg);
    int (*invalidate)(const weir_host *, weir_str tenant, weir_str tag, weir_store_done, void *arg);
    int (*remove)(const weir_host *, weir_str tenant, weir_str key, weir_store_done, void *arg);
    /* Counters: saturating; ttl_ms counts from the first add and 0 is for ever. number: the sum. */
    int (*add)(const weir_host *, weir_str tenant, weir_str key, int64_t delta, uint64_t ttl_ms,
               weir_store_done, void *arg);

    /* Records: named documents of a collection that are listed, kept for ever and never evicted.
     * put() writes only when the record's version is `version` (0: when there is none;
     * UINT64_MAX: whatever there is), else WEIR_E_BUSY with the version there is in number (0:
     * none). number: the new version, above 0 and larger than any before. An empty value removes
     * it. list() gives up to n (at most WEIR_STORE_MAX_ITEMS) records in the order of their names'
     * bytes behind `after`; fewer when they exceed 1 MiB together. find() gives one, or
     * WEIR_E_NOTFOUND. */
    int (*put)(const weir_host *, weir_str tenant, weir_str collection, weir_str name,
               weir_str value, uint64_t version, weir_store_done, void *arg);
    int (*find)(const weir_host *, weir_str tenant, weir_str collection, weir_str name,
                weir_store_done, void *arg);
    int (*list)(const weir_host *, weir_str tenant, weir_str collection, weir_str after, uint32_t n,
                weir_store_done, void *arg);

    /* Logs: append-only, never evicted. An id that was appended within the last 40 days appends
     * nothing and gives the place that it has, with rc WEIR_E_BUSY. number: the place, 1 for the
     * first. read() gives up to n entries behind `after` (0: from the beginning), oldest first;
     * fewer when they exceed 1 MiB together. */
    int (*append)(const weir_host *, weir_str tenant, weir_str log, weir_str id, weir_str value,
                  weir_store_done, void *arg);
    int (*read)(const weir_host *, weir_str tenant, weir_str log, uint64_t after, uint32_t n,
                weir_store_done, void *arg);

    /* Jobs: done at least once, by whoever claims them. put: makes or replaces job `id`, to be
     * claimed delay_ms from now. claim: up to n whose time has come, the longest due first, hidden
     * from others for lease_ms; fewer when they exceed 1 MiB together. ack: done, forget it; number
     * 1 when it was there. Putting a job again before its time comes is a heartbeat. */
    int (*job_put)(const weir_host *, weir_str tenant, weir_str queue, weir_str id, weir_str value,
                   uint64_t delay_ms, weir_store_done, void *arg);
    int (*job_claim)(const weir_host *, weir_str tenant, weir_str queue, uint32_t n,
                     uint64_t lease_ms, weir_store_done, void *arg);
    int (*job_ack)(const weir_host *, weir_str tenant, weir_str queue, weir_str id, weir_store_done,
                   void *arg);

    /* Messages to all replicas, this one included; at most once each. subscribe only inside
     * instance_create, at most 32; `fn` runs on [main], never inside subscribe or publish. */
    int (*publish)(const weir_host *, weir_str channel, weir_str message, weir_store_done,
                   void *arg);
    int (*subscribe)(const weir_host *, weir_str channel, weir_store_message fn, void *arg);

    /* Removes everything under a tenant but its logs, piece by piece where there is much: the only
     * operation that may take longer than store.timeout. number: how many things are gone. */
    int (*erase)(const weir_host *, weir_str tenant, weir_store_done, void *arg);

    /* Limits at hand: NULL with WEIR_STORE_SHARED. A store in this process can keep what a limit is
     * found by; the limit is the same as take() and give() have by its tenant and key. `units` of
     * the limit that is opened do not count. limit_take(): as take(), answered when it returns:
     * WEIR_E_BUSY, WEIR_E_TOOBIG, WEIR_E_NOMEM; ret_left[n] is filled but with WEIR_E_NOMEM. All of
     * one call are of one tenant. limit_give() gives back. Each is to be closed before
     * instance_destroy has returned. [any] */
    int (*limit_open)(const weir_host *, weir_str tenant, const weir_store_limit *limit,
                      weir_store_limit_state **ret_state);
    void (*limit_close)(const weir_host *, weir_store_limit_state *);
    int (*limit_take)(const weir_host *, weir_store_limit_state *const *limits,
                      const uint64_t *units, uint32_t n, int64_t *ret_left);
    int (*limit_give)(const weir_host *, weir_store_limit_state *const *limits,
                      const uint64_t *units, uint32_t n);

    /* Budgets at hand: NULL with WEIR_STORE_SHARED. The budget is the same as reserve() and
     * settle() have by its tenant and key; what is held of it lives as long as this process and
     * until it is settled, so it needs neither id nor time. budget_hold(): all or none, answered
     * when it returns: WEIR_E_BUSY (*ret_refused_by says which one), WEIR_E_NOMEM.
     * budget_settle() replaces what is held, if anything, by the units used; WEIR_E_NOMEM: nothing
     * happened. All of one call are of one tenant, none twice. Each budget is to be closed before
     * instance_destroy has returned; one that is closed while something is held of it may be used
     * to settle that, and nothing else. [any] */
    int (*budget_open)(const weir_host *, weir_str tenant, weir_str key,
                       weir_store_budget_state **ret_state);
    void (*budget_close)(const weir_host *, weir_store_budget_state *);
    int (*budget_hold)(const weir_host *, weir_store_holding *, uint32_t n,
                       uint32_t *ret_refused_by);
    int (*budget_settle)(const weir_host *, weir_store_holding *, uint32_t n);

    /* What was made before an invalidation and comes to be stored after it. look() is get(), found
     * or not, with a mark of these tags in number. keep() is set() with it: WEIR_E_BUSY, and
     * nothing is written, when one of the tags was invalidated in between or the tenant erased.
     * Marks hold for a day.
     * [loop][main] */
    int (*look)(const weir_host *, weir_str tenant, weir_str key, const weir_store_tags *,
                weir_store_done, void *arg);
    int (*keep)(const weir_host *, weir_str tenant, weir_str key, weir_str value, uint64_t ttl_ms,
                const weir_store_tags *, weir_store_done, void *arg);
} weir_ext_store;

#ifdef __cplusplus
}
#endif
#endif
