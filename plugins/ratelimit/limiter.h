/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Admission of requests under all limits that apply to them.
 *
 * A request collects what it needs limit by limit: from a lease that is here, or by waiting for a
 * store call that it shares with others. When one limit refuses, everything that it holds goes
 * back. Nothing waits for another request, so there is no deadlock.
 *
 *   limiter_begin   whose limits apply to a request              [loop]      begin.c
 *   limiter_admit   spend leases; else join or start a call          [loop]      admit.c
 *   direct          takes at once, where the store is in this process [loop]     direct.c
 *   fetch           a call: take or reserve, and who waits for it    [loop]      fetch.c
 *   sweep           gives back old leases, keeps reservations alive  [main]      sweep.c
 *
 * A store in this process is asked for every unit, by limits that are kept at hand: exact, and
 * nothing waits. Places are reserved for a little longer than they are used, as with a shared
 * store.
 *
 * Ownership: the limiter owns subjects and calls; an admission is the request's own memory, linked
 * while it waits and unlinked by limiter_finish. Threads: a shard's lock for all that the shard
 * has, and for an admission while it is linked; at most one shard is locked at a time; store calls
 * and resumes are made without it (suspend is made under it: it takes a leaf lock of the host).
 * Errors: enum admit; a lost store is a result, not an error. */
#include <stdatomic.h>

#include "subject.h"
#include "weir/store.h"

enum on_loss { ON_LOSS_DENY, ON_LOSS_ALLOW, ON_LOSS_LOCAL };

enum admit {
    ADMIT_PASS,
    ADMIT_WAIT,    /* suspended */
    ADMIT_REFUSED, /* by admission.by, item by_item */
    ADMIT_NEVER,   /* needs more than the burst: no wait would help */
    ADMIT_LOST,    /* no store, and on_store_loss says deny */
    ADMIT_BROKEN,  /* no memory */
    ADMIT__COUNT
};

/* The tightest limit of a resource, for headers. */
struct limit_view {
    bool is_there;
    uint64_t remaining, reset_us;
    struct limit_text text;
};

struct held { /* one subject of a request; bits are limits */
    struct subject *s;
    uint16_t need, has;
    uint16_t counted; /* in the limits' `wanted` */
    uint16_t local;   /* taken without the store: nothing to give back */
};

struct admission {
    struct admission *prev, *next; /* among those that wait for `fetch` */
    struct fetch *fetch;           /* NULL: waits for nothing; under the lock of `shard` */
    struct shard *shard;           /* where it last waited; the request's own loop */
    weir_req *req;
    weir_ticket ticket; /* 0: linked, not suspended yet */
    struct held held[LEVEL__COUNT];
    uint32_t n, rounds;
    uint64_t tokens; /* reserved */
    uint64_t taken_us;
    struct subject *by; /* who refused; pinned until limiter_end */
    uint32_t by_item;
    struct rate by_rate;                     /* its limit as it was then, or */
    uint64_t by_depth;                       /* units at once, or places */
    struct limit_view view[RESOURCE__COUNT]; /* when it was admitted, or refused */
    bool taken;                              /* all of it, when it began; see direct.c */
    bool admitted;
    bool lost; /* decided without the store */
};

/* What is counted since the last sweep; under no lock. */
struct limiter_counters {
    atomic_uint_least64_t decisions[LEVEL__COUNT][ADMIT__COUNT];
    atomic_uint_least64_t allowed, local, unlimited; /* the latter two: while the store was lost */
    atomic_uint_least64_t calls, call_failures;
    atomic_uint_least64_t leases[LEVEL__COUNT], leased[LEVEL__COUNT][RESOURCE__COUNT];
    atomic_uint_least64_t returned[LEVEL__COUNT][RESOURCE__COUNT];
};

/* A shard of the table, and what belongs to it besides entries. */
struct shard {
    struct level_shard *entries;
    struct subject *dirty;
    struct fetch *spare; /* calls to be used again */
    uint32_t n_spare;
};

struct limiter {
    const weir_host *host;
    const weir_ext_store *store;
    const weir_ext_tenants *tenants; /* NULL: no records */
    struct rules config;
    unsigned levels;  /* bits of enum level: that are looked at */
    unsigned general; /* among them: where the plugin's own limits may be */
    enum on_loss on_loss;
    uint32_t replicas;
    uint64_t slot_ttl_ms;
    bool shared;
    bool direct; /* limits can be kept at hand: weir/store.h, limit_open() */
    char id[24]; /* of this replica's reservations */
    struct level_table table;
    struct shard *shards;                /* [LEVEL_SHARDS], beside the table's */
    atomic_uint_least64_t lost_until_us; /* 0: the store answers */
    atomic_bool sweep_armed;
    atomic_uint_least64_t sweep_timer; /* its id; for the end */
    atomic_bool closing;
    struct limiter_counters counters;
};

/* The rest of *l is filled in by the caller. */
int limiter_init(struct limiter *l);
/* No request is left. Gives back what is held. */
void limiter_finish(struct limiter *l);

/* Once for a request, whose admission is zeroed: which subjects it has. WEIR_E_NOMEM. */
int limiter_begin(struct limiter *l, const struct level_ids *ids, weir_req *r, uint64_t tokens,
                  uint64_t now_us, struct admission *a);
/* On ADMIT_WAIT the request is suspended; call it again when it is resumed. On a refusal it holds
 * nothing. */
enum admit limiter_admit(struct limiter *l, struct admission *a, uint64_t now_us);
/* The request has ended; tokens as they were used. Safe when nothing was begun. */
void limiter_end(struct limiter *l, struct admission *a, uint64_t tokens_used);

/* Until the refused request could pass. */
uint64_t limiter_retry_us(struct limiter *l, const struct admission *a);

/* ---- between the limiter's files ---- */

static inline struct shard *limiter_shard(struct limiter *l, const struct subject *s)
{
    return &l->shards[s->e.shard - l->table.shards];
}
uint64_t limiter_now(const struct limiter *l);
/* For a request: where limits are at hand that of the loop's turn, as the store has. Two threads'
 * may differ by a turn, but time does not go back within the store. Leases want the exact one. */
uint64_t limiter_turn(const struct limiter *l);
/* What the admission's limits in a shard have left now, into its view. [locked] */
void limiter_look(const struct shard *sh, struct admission *a, uint64_t now_us);
/* Takes from balances and places what the admission lacks in a shard. [locked] */
bool limiter_acquire(struct shard *sh, struct admission *a, uint64_t now_us, bool fresh);
void limiter_unlink(struct admission *a); /* from the call that it waits for [locked] */
/* The store did not answer, or answers again. */
void limiter_lost(struct limiter *l, int rc);
void limiter_found(struct limiter *l);

struct fetch_item { /* a copy of the limit, so that nothing is locked while it is sent */
    struct subject *s;
    uint32_t item;
    uint64_t units;
    struct rate rate;
    uint64_t depth; /* or places in all */
};

struct fetch {
    struct limiter *l;
    struct shard *shard;
    struct fetch *next_spare;
    struct admission *waiting, *last_waiting;
    uint64_t sent_us;
    bool slots; /* reserve, else take */
    uint32_t n;
    struct fetch_item items[WEIR_STORE_MAX_LEVELS];
};

/* Empty, of the shard's spares; NULL: no memory. [locked] */
struct fetch *fetch_new(struct limiter *l, struct shard *sh, bool slots);
void fetch_add(struct fetch *f, struct subject *s, unsigned item, uint64_t units); /* [locked] */
/* Sends it, and frees it when it is answered, maybe before this returns. */
void fetch_send(struct fetch *f, uint64_t now_us);

/* Takes all that the admission lacks in a shard, but places where none is here; or nothing. True:
 * done; else what the store said is known to the buckets, or limits cannot be kept at hand.
 * [locked] */
bool direct_take(struct limiter *l, struct shard *sh, struct admission *a, uint64_t now_us);
/* Gives back what the admission's subjects have left over; places go with the next sweep. False:
 * not all of it could be. [locked] */
bool direct_give(struct limiter *l, struct shard *sh, const struct admission *a);
void direct_close(struct subject *s);

/* Remembers a subject for the next sweep. [locked] */
void sweep_mark(struct shard *sh, struct subject *s);
/* Arms the timer, when it is not. [not locked] */
void sweep_arm(struct limiter *l);
/* What the admission's subjects have left over goes back now: for a store where a call costs no
 * round trip. [locked, and no more when it returns] */
void sweep_now(struct limiter *l, struct shard *sh, const struct admission *a, uint64_t now_us);
/* At the end of the instance. */
void sweep_last(struct limiter *l, struct shard *sh);
