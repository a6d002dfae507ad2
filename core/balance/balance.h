/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Which of a model's targets a request should run on.
 *
 * Why: targets differ in speed, distance and what they have cached, and come and go. How: some of
 * them are usable now (health.h and the targets' own states say so, the model passes it on); the
 * request takes some away (tried before, forbidden regions); of the rest the nearest region that is
 * in use stays; then the request's session decides, if it has one, else the algorithm.
 * A choice takes no lock and allocates nothing: it reads atomics, of at most
 * WEIR_BALANCE_MAX_TARGETS targets. It is a wish: the queue grants the places (queue.h).
 * Ownership: the model owns it; `loads` is the queue's and outlives it.
 * Threads: create, add, destroy [main]; the rest [any]. */
#include <stdatomic.h>
#include <stdbool.h>

#include "core/balance/prefix_index.h"
#include "weir/types.h"

enum { WEIR_BALANCE_MAX_TARGETS = 64, WEIR_BALANCE_MAX_REGIONS = 16 };
#define WEIR_BALANCE_NONE UINT32_MAX
#define WEIR_BALANCE_FULL_SHARE 1000000u

enum weir_balance_kind {
    WEIR_BALANCE_LEAST_CONNECTIONS, /* fewest taken places for the weight */
    WEIR_BALANCE_ROUND_ROBIN,       /* in turn, by weight */
    WEIR_BALANCE_POWER_OF_TWO,      /* the less loaded of two drawn ones */
    WEIR_BALANCE_LATENCY,           /* shortest expected time to the first token */
    WEIR_BALANCE_PREFIX_AFFINITY,   /* where the prompt's beginning was last, unless overloaded */
    WEIR_BALANCE_CANARY,            /* by weight, and the same client always the same */
    WEIR_BALANCE_KINDS
};

struct weir_balance_config {
    enum weir_balance_kind kind;
    double load_bound;       /* affinity gives way beyond that times the mean load; >= 1 */
    const char *home_region; /* where this daemon stands; NULL: not said. Copied. */
};

/* What a request says that matters here; all zero: nothing. */
struct weir_balance_ask {
    uint64_t session;  /* hash of its affinity's value; 0: none */
    uint64_t client;   /* hash of who asks; 0: not known */
    uint64_t tenant;   /* hash; a prompt's beginning is known to its own tenant only */
    weir_str prompt;   /* bytes that stand for the prompt, tools first */
    uint64_t excluded; /* bits of targets that it must not, or should not again, run on */
};

struct weir_balance_target {
    uint32_t weight, region;
    uint64_t name_hash;
    _Atomic uint32_t share_ppm; /* of its weight, while it starts slowly; 0: not usable */
    _Atomic uint64_t ttft_ns;   /* moving average of the time to the first token; 0: none yet */
    _Atomic uint64_t ttft_at_us;
};

struct weir_balance_region {
    char name[64];
    uint64_t targets;                     /* bits */
    _Atomic uint32_t rank;                /* smaller is nearer */
    _Atomic uint64_t rtt_us;              /* of active checks, moving average; 0: not measured */
    _Atomic bool is_out;                  /* too much of it fails: others take over */
    uint64_t bad_since_us, good_since_us; /* [main] */
};

struct weir_balance {
    struct weir_balance_config config;
    struct weir_balance_target targets[WEIR_BALANCE_MAX_TARGETS];
    uint32_t n_targets;
    struct weir_balance_region regions[WEIR_BALANCE_MAX_REGIONS];
    uint32_t n_regions, home;           /* home: index, WEIR_BALANCE_NONE: not said */
    _Atomic uint64_t usable;            /* bits */
    _Atomic uint64_t turn;              /* round robin */
    _Atomic uint64_t random_state;      /* from a seed of the kernel: replicas draw differently */
    const _Atomic uint32_t *loads;      /* places taken, by target */
    struct weir_prefix_index *prefixes; /* PREFIX_AFFINITY only */
};

int weir_balance_create(const struct weir_balance_config *config, const _Atomic uint32_t *loads,
                        struct weir_balance **ret_balance);
void weir_balance_destroy(struct weir_balance *b); /* NULL ok */
/* The next target; its number is the count before. `region` may be NULL: the home region.
 * WEIR_E_TOOBIG: too many targets or regions. */
int weir_balance_add(struct weir_balance *b, const char *name, uint32_t weight, const char *region);

/* 0: not usable now; else how much of its weight counts. */
void weir_balance_set_share(struct weir_balance *b, uint32_t target, uint32_t share_ppm);
/* A request had its first token from the target after so long. */
void weir_balance_note_ttft(struct weir_balance *b, uint32_t target, uint64_t ttft_us,
                            uint64_t now_us);
/* The target's moving average as it counts now, in nanoseconds: without news it fades, so that a
 * slow target is tried again. */
double weir_balance_ttft_ns(const struct weir_balance *b, uint32_t target, uint64_t now_us);

/* WEIR_BALANCE_NONE: none is usable that the request may have. */
uint32_t weir_balance_choose(struct weir_balance *b, const struct weir_balance_ask *ask,
                             uint64_t now_us);
/* Where the request runs now: later ones with the same beginning go there. */
void weir_balance_note_prompt(struct weir_balance *b, const struct weir_balance_ask *ask,
                              uint32_t target);
/* Bits of the targets in regions of that list. */
uint64_t weir_balance_in_regions(const struct weir_balance *b, const weir_str *names, size_t n);

bool weir_balance_kind_parse(weir_str name, enum weir_balance_kind *ret_kind);
const char *weir_balance_kind_name(enum weir_balance_kind kind);
