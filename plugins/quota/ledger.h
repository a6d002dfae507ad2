/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Reserving and settling of budgets.
 *
 * Before a request runs, what it can use at most is reserved in all of its budgets; afterwards that
 * is replaced by what it used. Reservations are kept: those of a replica that died count as used
 * when their time is over, so a crash can never free what may have been spent. Their time is long,
 * since it changes nothing for a request that lives.
 * A settlement that the store does not take is tried again, as long as it is certain that it does
 * not count twice; when too many wait, the oldest are dropped. Either leaves the reservation in
 * force: too much is counted, never too little.
 * A store in this process keeps budgets at hand (direct.c): both are answered at once then, and
 * nothing is found by its name, or remembered by an id.
 *
 * Ownership: the ledger owns its owners (subjects with budgets) and the pending settlements; a
 * reservation is the request's, and becomes the ledger's at the end. Threads: shard locks for
 * owners; a lock for what is pending. Errors: enum reserve_result. */
#include <stdatomic.h>

#include "budget.h"
#include "table.h"
#include "weir/store.h"

enum {
    LEDGER_MAX_HOLDS = 64, /* of one request */
    LEDGER_MAX_PENDING = 4096,
    LEDGER_KEY_BYTES = LEVEL_KEY_BYTES + 64,
    LEDGER_TEXT_BYTES = 16 * 1024,
};

enum on_loss { ON_LOSS_DENY, ON_LOSS_ALLOW, ON_LOSS_LOCAL };

enum reserve_result {
    RESERVE_OK,
    RESERVE_WAIT,      /* suspended */
    RESERVE_EXHAUSTED, /* by reservation.by */
    RESERVE_LOST,      /* no store, and on_store_loss says deny */
    RESERVE_UNPRICED,  /* a budget of money, and the model has no price now */
    RESERVE_CURRENCY,  /* a budget in another currency than the prices' */
    RESERVE_BROKEN,    /* no memory, or more than LEDGER_MAX_HOLDS */
    RESERVE__COUNT
};

/* What is known of one budget of an owner; for headers, warnings, and the time without a store. */
struct budget_state {
    int64_t window_s; /* start of the window that it speaks of */
    int64_t left;     /* in the store, at the last answer; its limit before */
    bool known;       /* there was an answer */
    uint8_t warned;   /* percentage that was logged in this window; 0: none */
    uint64_t local;   /* reserved here while the store was lost, in this window */
};

/* A window that a budget is in, and how the store finds it: the same for all requests until it
 * ends. */
struct budget_window {
    struct window window;
    weir_store_budget_state *at_hand; /* where the ledger is direct */
    uint16_t key_len;                 /* elsewhere; 0: not known, or too long to be kept */
    char key[102];
};

struct owner { /* a subject with budgets */
    struct level_entry e;
    struct budget_set set;
    struct budget_state states[BUDGET_MAX];
    struct budget_window *windows[BUDGET_MAX]; /* of each: one, or WINDOW_SPANS; NULL: none yet */
    struct ledger *ledger;                     /* whose store has windows at hand; NULL: none has */
    struct zone *zone;                         /* LEVEL_TENANT: the tenant's; NULL: the ledger's */
    unsigned levels;                           /* LEVEL_TENANT: where its record may have budgets */
};

struct hold {
    struct owner *owner; /* pinned */
    struct budget budget;
    struct window window;
    uint64_t units;        /* reserved, then used */
    int64_t left;          /* after the last answer */
    uint16_t key, key_len; /* in reservation.text */
    uint8_t at;            /* index in the owner's set */
    bool is_binding;       /* of rolling windows: the one that is full first */
};

struct ledger;
struct price;

struct usage {
    uint64_t prompt_tokens, cached_tokens, completion_tokens, gpu_us;
};

/* One request's. Everything but `next` belongs to the request's loop until it is pending. */
struct reservation {
    struct ledger *ledger;
    struct reservation *next; /* pending */
    weir_req *req;
    weir_ticket ticket;
    char id[48];
    const struct price *price; /* NULL: no money is counted */
    uint64_t began_us;         /* wall clock */
    uint32_t n, n_tenant;      /* holds; those of the tenant's group come first */
    uint32_t n_done;           /* reserved, later: settled */
    uint32_t n_asked;          /* of the call under way; 0: none is */
    uint32_t rounds, by;       /* by: the hold that refused */
    int rc;                    /* of the last call */
    bool lost;                 /* admitted without the store */
    bool ended;                /* the request is over */
    bool in_reserve;           /* inside the store's function */
    bool in_room;              /* the memory is the request's */
    uint64_t unsure_us;        /* since when a settlement may have happened; 0: it has not */
    uint32_t tenant_len, text_len;
    uint32_t cap;                /* holds that there is room for */
    void *more;                  /* their memory, when the request's room was too small */
    struct hold *holds;          /* [n] */
    weir_store_holding *at_hand; /* [n]; NULL: the ledger is not direct */
    char *text;                  /* tenant, then keys; where it is not direct */
};

/* Room for a reservation in the request's own state, where the store answers at once: for few holds
 * nothing is allocated then. Zeroed at first. */
enum { LEDGER_FEW = 4 };
struct reservation_room {
    struct reservation reservation;
    struct hold holds[LEDGER_FEW];
    weir_store_holding at_hand[LEDGER_FEW];
};

struct ledger_counters {
    atomic_uint_least64_t results[LEVEL__COUNT][RESERVE__COUNT];
    atomic_uint_least64_t reserved, local, unlimited, failures, dropped;
    atomic_uint_least64_t warnings[LEVEL__COUNT];
};

struct ledger {
    const weir_host *host;
    const weir_ext_store *store;
    const weir_ext_tenants *tenants; /* NULL: no records */
    struct rules config;
    struct price_book *prices; /* NULL: no money */
    struct zone *zone;         /* where a tenant names none */
    unsigned levels;           /* that are looked at */
    unsigned general;          /* among them: where the plugin's own budgets may be */
    enum on_loss on_loss;
    uint32_t replicas;
    uint8_t warn_at[4]; /* percentages, ascending; 0: no more */
    bool free_without_price;
    bool direct;     /* budgets can be kept at hand: weir/store.h, budget_open() */
    char prefix[24]; /* of reservation ids */
    atomic_uint_least64_t last_id;
    struct level_table table;
    atomic_uint_least64_t lost_until_us; /* 0: the store answers */
    pthread_mutex_t lock;                /* pending */
    struct reservation *pending, *last_pending;
    uint32_t n_pending;
    struct ledger_counters counters;
};

int ledger_init(struct ledger *l);
void ledger_finish(struct ledger *l);

/* The reservation of a request for at most `most`; NULL in *ret when it has no budget. `room` is
 * the request's, until its end. */
enum reserve_result ledger_begin(struct ledger *l, const struct level_ids *ids,
                                 const struct usage *most, struct reservation_room *room,
                                 struct reservation **ret);
/* On RESERVE_WAIT the request is suspended; again when it is resumed. */
enum reserve_result ledger_reserve(struct reservation *r);
/* The request has ended; used NULL: it did not run. Takes the reservation. */
void ledger_settle(struct reservation *r, const struct usage *used);
/* Sends what is pending, when the store answers. [main] */
void ledger_retry(struct ledger *l);

/* ---- between the ledger's files ---- */

uint64_t ledger_now(const struct ledger *l);
/* Adds the holds of all levels. */
enum reserve_result ledger_add_holds(struct reservation *r, const struct level_ids *ids,
                                     const struct usage *most);
uint64_t ledger_units(const struct hold *h, const struct reservation *r, const struct usage *u);
weir_str ledger_key(const struct reservation *r, const struct hold *h);
/* What an answer said of holds [first, first + n). */
void ledger_learn(struct reservation *r, uint32_t first, uint32_t n, const weir_store_result *a);
/* Their `left` is news. All of one shard. [locked] */
void ledger_note(struct reservation *r, uint32_t first, uint32_t n);
/* How many of the holds from n_done on one call takes: of one group. */
uint32_t ledger_next(const struct reservation *r);
/* The store answered like this; or is it lost? */
void ledger_answered(struct ledger *l, int rc);
bool ledger_is_lost(struct ledger *l);
/* A settlement that the store did not take. */
void ledger_put_off(struct reservation *r);
/* Decides by on_store_loss about the holds that are not reserved. */
enum reserve_result ledger_decide_alone(struct reservation *r);
/* The owners may go; frees it. */
void ledger_drop(struct reservation *r);
void ledger_free(struct reservation *r);                  /* they may already */
void ledger_unpin(struct reservation *r, uint32_t first); /* and those behind */

/* ---- direct.c ---- */

/* Reserves what is not reserved yet, all of one group. Its result is in r. [locked] */
void direct_hold(struct reservation *r);
/* Settles from n_done on, by the units of `at_hand`, and frees r, or puts it off. */
void direct_settle(struct reservation *r);
/* Reserved and not wanted after all. */
void direct_let_go(struct reservation *r);

/* The highest warning threshold that a hold has reached, in percent; 0: none. */
unsigned ledger_threshold(const struct ledger *l, const struct hold *h);
