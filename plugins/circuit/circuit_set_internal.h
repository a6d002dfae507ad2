/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of the set share. `lock` guards circuits and their flags. */
#include <pthread.h>

#include "circuit_set.h"

enum { CIRCUIT_TICK_MS = 100 };

struct member { /* one dependency */
    struct circuit_set *set;
    uint32_t index, group;
    char name[CIRCUIT_KEY_BYTES];
    char key[CIRCUIT_KEY_BYTES + 8]; /* "circuit/..." */
    bool is_shared;
    struct circuit circuit;
    bool is_dirty;  /* the store does not know of the state yet */
    bool must_read; /* the store may know of another */
    bool is_busy;   /* reading or writing */
    /* [main] alone uses these. */
    bool is_asking; /* for a trial */
    bool is_wanted; /* since the last trial */
    uint64_t ask_from_us;
};

struct circuit_set {
    struct circuit_set_config config;
    pthread_mutex_t lock;
    struct member *list[CIRCUIT_SET_MAX];
    uint32_t n;
    uint64_t timer;
    const weir_ext_metrics *metrics; /* NULL: the host has none */
    weir_metric state, transitions, trials, capped;
};

/* Changes of a circuit, `lock` held; `why` for the log. */
void circuit__entered(struct member *m, const char *why);
void circuit__permit(struct member *m);
/* May one more of its group be open? Counts it when not. */
bool circuit__cap_allows(struct member *m);

void circuit__count(struct member *m, weir_metric metric, double n);

/* circuit_share.c [main] */
int circuit__listen(struct circuit_set *s);
void circuit__sync(struct member *m); /* writes or reads what is due */
void circuit__ask_trial(struct member *m);
