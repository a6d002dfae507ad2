/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The plugin's instance and one request's state, for its files.
 *
 * How a request goes: ROUTE makes its key (weir.answer/1) and looks in this process, then in the
 * store if that is a shared one (lookup.c). Found: it is answered with what was kept. Not found:
 * its output is gathered (recording.c), and kept in on_complete when it came whole and good. An
 * answer has one of `max_size` places of its tenant, chosen by its key; another answer with the
 * same place replaces it. So the number of answers is bounded without counting them, and a look-up
 * is one operation. A tenant whose bytes are bounded has as many places as the largest answers
 * need, so that its bound holds without counting bytes either. Threads: hooks on the request's
 * loop; the timer, admin routes and messages on [main]. */
#include "control.h"
#include "flights.h"
#include "memory.h"
#include "weir/policy.h"
#include "weir/store.h"

extern const char cache_schema[];

enum { CACHE_ERROR_BYTES = 200, CACHE_TAG_BYTES = 300, CACHE_TAGS = 2, CACHE_PLACE_BYTES = 32 };

enum cache_partition { PARTITION_TENANT, PARTITION_KEY, PARTITION_USER };

struct cache_settings {
    uint64_t ttl_us, places;
    size_t memory_bytes, max_answer_bytes, max_request_bytes;
    uint32_t coalesce_ms; /* 0: off */
    enum cache_partition partition;
    bool sampled;      /* keep drawn answers too */
    bool deny_on_loss; /* of the store */
};

enum cache_count {
    COUNT_HIT_MEMORY,
    COUNT_HIT_STORE,
    COUNT_MISS,
    COUNT_BYPASS,
    COUNT_REQUESTS__END, /* the results of requests are those above */
    COUNT_COALESCED = COUNT_REQUESTS__END,
    COUNT_KEPT,
    COUNT_NOT_KEPT,
    COUNT_TOKENS,
    COUNT_STORE_FAILURES,
    COUNT_INVALIDATED,
    COUNT__END
};

struct cache_metrics {
    const weir_ext_metrics *ext; /* NULL: the host has none */
    weir_metric requests, others[COUNT__END], bytes, entries, evicted;
    uint64_t n_evicted; /* that were recorded */
};

struct cache {
    const weir_host *host;
    const weir_ext_store *store;
    const weir_ext_answer *answers;
    struct cache_settings settings;
    struct memory *memory; /* NULL: switched off */
    bool uses_store;       /* else memory is all there is: the store would be in this process too */
    struct flights flights;
    atomic_uint_least64_t counts[COUNT__END];
    struct cache_metrics metrics;
    uint64_t timer;
};

/* What a request looks for; outlives it while the store works for it. */
struct ask {
    struct cache *c;
    uint32_t refs; /* the request, and the operation under way; all on one loop */
    bool waits;    /* an operation is under way */
    bool left;     /* the request is gone, or waits no longer */
    bool lost;     /* the store said nothing */
    weir_ticket ticket;
    struct answer *found;
    uint64_t oldest_us;      /* an older answer is not good enough */
    uint64_t number;         /* its place among those of its tenant */
    uint64_t place;          /* in memory */
    size_t max_answer_bytes; /* of one in a place */
    size_t max_bytes;        /* of its tenant in this process; 0: no bound of its own */
    bool limited;            /* WEIR_ANSWER_LIMITED */
    bool waited;             /* for an equal request; not again */

    /* The output, when nothing was found. */
    bool records, failed; /* failed: what was gathered is of no use */
    struct answer_writer writer;
    uint64_t finished; /* bit per choice */
    uint64_t epoch;    /* the memory's, when it was looked for */
    int64_t mark;      /* the store's, then */
    bool has_mark;

    struct flight flight;
    struct flight_waiter waiter;
    uint8_t digest[WEIR_ANSWER_DIGEST_BYTES];
    size_t n_tenant, n_model;
    char texts[]; /* tenant, model */
};

enum stage { STAGE_NEW, STAGE_STORE, STAGE_FLIGHT, STAGE_DONE };

struct state {       /* per request, zeroed */
    struct ask *ask; /* NULL: it goes by */
    uint8_t stage;   /* enum stage */
    struct cache_control control;
};

static inline weir_str ask_tenant(const struct ask *a)
{
    return (weir_str){a->texts, a->n_tenant};
}

static inline weir_str ask_model(const struct ask *a)
{
    return (weir_str){a->texts + a->n_tenant, a->n_model};
}

static inline void cache_count(struct cache *c, enum cache_count what, uint64_t n)
{
    (void)atomic_fetch_add_explicit(&c->counts[what], n, memory_order_relaxed);
}

/* settings.c */
int cache_read_settings(struct cache_settings *s, weir_str json);
/* metrics.c: define only inside instance_create; publish once a second [main] */
void cache_define_metrics(struct cache *c);
void cache_publish(struct cache *c);
/* admin.c */
int cache_add_routes(struct cache *c);
int cache_listen(struct cache *c); /* to invalidations of all replicas */
/* "answers", or "answers/MODEL" */
weir_str cache_tag(weir_str model, char buffer[CACHE_TAG_BYTES]);
/* Both, of the answer that is looked for; the second lies in the buffer. */
void cache_tags(const struct ask *a, char buffer[CACHE_TAG_BYTES], weir_str tags[CACHE_TAGS]);

/* lookup.c: verdicts */
int lookup_begin(struct cache *c, weir_req *r, struct state *s);
int lookup_resumed(struct cache *c, weir_req *r, struct state *s, int rc);
/* The request has done with it. */
void ask_end(struct ask *a);
void ask_drop(struct flight *left); /* for flights_finish() */
void cache_place(const struct ask *a, char out[CACHE_PLACE_BYTES]);

/* recording.c */
void recording_begin(struct ask *a);
int recording_add(struct ask *a, const weir_chunk *chunk); /* a chunk action */
void recording_end(struct ask *a, const weir_usage *u);
