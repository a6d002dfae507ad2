/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Keeps a number of writing operations under way, and notes what became of each. */
#include "redis_fixture.h"

struct load {
    struct weir_store *store;
    uint32_t width; /* under way at a time */
    bool stopping;
    uint64_t n_started, n_done, n_twice;
    uint64_t n_ok, n_refused, n_timeout, n_away, n_full, n_other;
    uint64_t longest_us; /* from call to done */
    uint64_t ok_us;      /* when the last one was answered as it should */
    int idle;            /* nothing is under way */
};

/* Starts what is missing to the width; one that is refused at once is not tried again. */
void load_pump(struct load *l);
/* Turns the store's loop for so long, pumping. */
void load_run(struct load *l, struct redis_store *s, uint64_t ms);
/* Starts no more, and turns until all are done or 10 s have passed. */
void load_finish(struct load *l, struct redis_store *s);
