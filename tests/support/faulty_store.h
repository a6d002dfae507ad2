/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A store that answers late, fails, or loses its answer, as a test decides call by call.
 *
 * It stands before a real one (the memory driver), which all replicas of a test share; each replica
 * has a faulty store of its own. Ownership: borrows the inner store. Threads: none. */
#include "core/store/store.h"

enum fault {
    FAULT_NONE,
    FAULT_LATE,      /* happens now, answers when released */
    FAULT_AWAY,      /* does not happen: WEIR_E_IO at once */
    FAULT_AWAY_LATE, /* the same, but the answer comes when released */
    FAULT_UNKNOWN,   /* happens now, but the answer is lost: WEIR_E_TIMEOUT when released */
    FAULT_DEAD,      /* does not happen: the replica is gone; answered when its memory is freed */
};

struct faulty_call;

struct faulty_store {
    struct weir_store store; /* first: the plugin host holds this */
    struct weir_store *inner;
    /* Decides about a call, by its number from 0; NULL: no fault. */
    enum fault (*decide)(void *arg, uint32_t number, enum weir_store_op op);
    void *arg;
    uint32_t n_calls;
    struct faulty_call *first, *last; /* answered when released */
};

void faulty_store_init(struct faulty_store *f, struct weir_store *inner);
void faulty_store_finish(struct faulty_store *f);
/* Answers what waits, oldest first, and what these answers lead to; how many. */
uint32_t faulty_store_release(struct faulty_store *f);
