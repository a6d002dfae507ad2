/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The chunks of one generation on their way from a target's thread to the request's loop.
 *
 * Why: a bounded ring per generation is the back-pressure: a client that stops reading fills its
 * own ring, push() says WEIR_E_BUSY, and the target pauses that generation only. Layout: records
 * lie whole in one block of memory; the chunk that peek() shows points into it. Bound: `cap_bytes`;
 * a single record that is larger is taken when the ring is empty, by growing it once, up to
 * MAX_RECORD_BYTES; beyond that push() gives WEIR_E_TOOBIG. Threads: push, finish [any-thread, one
 * at a time]; peek, pop, outcome [loop-thread]. */
#include <pthread.h>
#include <stdbool.h>

#include "core/target/inbox.h"
#include "weir/backend_stream.h"

enum { WEIR_FLOW_BYTES = 32 * 1024, WEIR_FLOW_MAX_RECORD_BYTES = 8 * 1024 * 1024 };

struct weir_flow {
    pthread_mutex_t mutex; /* guards everything down to `outcome_text` */
    char *ring;
    size_t cap_bytes;
    size_t head, tail; /* read and write offsets; equal: empty */
    size_t wrap;       /* where the last record before the wrap ends; 0: no wrap */
    bool starved;      /* a push was refused: wake() the target when room is made */
    bool gone;         /* nobody reads any more */
    bool finished;
    weir_outcome outcome;
    char outcome_text[256]; /* bytes behind outcome.message */
    struct weir_inbox *inbox;
    struct weir_inbox_item *item; /* posted when something can be read */
};

int weir_flow_init(struct weir_flow *f, struct weir_inbox *inbox, struct weir_inbox_item *item);
void weir_flow_finish(struct weir_flow *f);

int weir_flow_push(struct weir_flow *f, const weir_chunk *chunk);
void weir_flow_end(struct weir_flow *f, const weir_outcome *outcome);
/* Nobody reads any more: what is in it is dropped, pushes give WEIR_E_GONE. The item is posted for
 * the end, also when the end came before. [loop-thread] */
void weir_flow_abandon(struct weir_flow *f);

/* The oldest chunk, valid until pop(); NULL: none now. */
const weir_chunk *weir_flow_peek(struct weir_flow *f);
/* True: a push had been refused and there is room again, so wake the target. */
bool weir_flow_pop(struct weir_flow *f);
/* True when the generation has ended and every chunk was popped. */
bool weir_flow_ended(struct weir_flow *f, weir_outcome *ret_outcome);
