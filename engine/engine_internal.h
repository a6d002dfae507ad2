/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The engine's state, shared by engine.c (interface), engine_thread.c (rounds, failure, reload),
 * engine_watch.c (steps that do not return) and loaded_model.c. Nobody else includes this. */
#include <stdatomic.h>

#include "engine/engine.h"
#include "engine/loaded_model.h"
#include "engine/scheduler/mailbox.h"
#include "engine/scheduler/scheduler.h"

struct weir_engine {
    struct weir_engine_config config; /* strings are copies, in `strings`; so are devices */
    uint32_t devices[WEIR_ENGINE_DEVICES_MAX];
    struct weir_arena strings;
    const weir_sink *sink;
    struct weir_page_secret secret;
    struct weir_mailbox mailbox;
    pthread_t thread, watch;
    pthread_mutex_t watch_lock; /* guards watch_ends */
    pthread_cond_t watch_wakes;
    bool watch_ends;
    _Atomic uint32_t step_state; /* enum weir_step_state */

    /* Readers: prepare and friends; writer: the engine thread at load and unload. Guards `model`.
     */
    pthread_rwlock_t model_lock;
    struct weir_loaded_model *model; /* NULL while there is none */

    struct weir_scheduler *scheduler; /* the engine thread's */
    uint64_t n_loads;                 /* the engine thread's, like the next three */
    bool has_loaded;                  /* with the backend in use, since the start */
    bool on_spare;                    /* the spare backend has taken over */
    uint32_t n_load_failures;         /* in a row */
    struct weir_scheduler_counters counters;

    /* Guards `status`, which the engine thread writes after each round. */
    pthread_mutex_t status_lock;
    weir_target_status status;
    bool work_pending;      /* something could run; guarded like status */
    uint64_t work_since_us; /* since when, or the last step's end */
};

uint64_t weir_engine_now_us(const struct weir_engine *e);
/* Sequences for a batch of that size, with those submitted ahead so that a place that comes free is
 * filled in the next step. The better the class, the more: a better one can always come in and take
 * the place of one that runs. The host keeps to it, since it knows how long each has waited. */
uint32_t weir_engine_places(uint32_t max_batch, uint32_t class_rank);
/* Sequences that submit() may let in at the most, choices of one job aside. */
uint32_t weir_engine_max_sequences(const struct weir_engine *e);
/* From now on a step is due; the stall clock runs. */
void weir_engine_mark_work(struct weir_engine *e);
/* No step has ended for so many µs though one is due; 0 where none is due. The status lock is held.
 */
uint64_t weir_engine_stalled_us(const struct weir_engine *e, uint64_t now_us);
/* Interrupts a step that runs. */
void weir_engine_interrupt(struct weir_engine *e);
/* Starts and ends the thread that watches over the engine thread. */
int weir_engine_watch_start(struct weir_engine *e);
void weir_engine_watch_stop(struct weir_engine *e);
/* The engine thread; returns when the mailbox closes. */
void *weir_engine_run(void *engine);
