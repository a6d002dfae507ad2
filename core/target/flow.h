/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The chunks of one generation on their way from a target's thread to the request's loop.
 *
 * Why: a bounded ring per generation is the back-pressure: a client that stops reading fills its
 * own ring, push() says WEIR_E_BUSY, and the target pauses that generation only. Layout: records
 * lie whole in one block of memory; the chunk that peek() shows points into it. Bound: `cap_bytes`;
 * a single record that is larger is taken when the ring is empty, by growing it once, up to
 * MAX_RECORD_BYTES; beyond that push() gives WEIR_E_TOOBIG. Threads: push, finish [any-thread, one
 * at a time]; peek, pop, outcome [loop-thread].
 * A target that works on the reader's own loop is read directly: its chunks are handed over without
 * a copy, and the ring is used only while the reader cannot take them, or is at work itself. */
#include <pthread.h>
#include <stdbool.h>

#include "core/target/inbox.h"
#include "weir/backend_stream.h"

enum { WEIR_FLOW_BYTES = 8 * 1024, WEIR_FLOW_MAX_RECORD_BYTES = 8 * 1024 * 1024 };

struct weir_flow;

/* How a reader takes what comes on its own loop. */
struct weir_flow_reader {
    /* WEIR_E_BUSY: not now, into the ring; WEIR_E_GONE: nobody reads any more. */
    int (*take)(struct weir_flow *f, const weir_chunk *chunk);
    void (*ended)(struct weir_flow *f);
};

struct weir_flow {
    const struct weir_flow_reader *reader; /* NULL: the target has threads of its own */
    bool is_open;
    /* Of a direct flow, [loop-thread]: the reader is at work, or has called the target. What comes
     * meanwhile waits in the ring. */
    bool is_held;
    /* `mutex` guards what follows, and the outcome with its text; a direct flow, all
     * [loop-thread], does without. */
    bool starved; /* a push was refused: wake() the target when room is made */
    bool gone;    /* nobody reads any more */
    bool finished;
    size_t head, tail; /* read and write offsets; equal: empty */
    size_t wrap;       /* where the last record before the wrap ends; 0: no wrap */
    char *ring;        /* of a direct flow NULL until it is needed */
    size_t cap_bytes;
    weir_outcome outcome;
    pthread_mutex_t mutex;
    struct weir_inbox *inbox;
    struct weir_inbox_item *item; /* posted when something can be read */
    char outcome_text[512];       /* bytes behind the outcome's strings; last: not cleared */
};

/* `reader`: the target works on the inbox's own loop; such a flow begins held. NULL: it does not.
 */
int weir_flow_init(struct weir_flow *f, struct weir_inbox *inbox, struct weir_inbox_item *item,
                   const struct weir_flow_reader *reader);
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
