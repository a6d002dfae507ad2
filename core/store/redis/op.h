/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One operation on its way: its command, what its answer is read with, who is told.
 *
 * Ownership: a loop owns its operations and keeps spare ones, so that the usual one allocates
 * nothing. Threads: its loop's. */
#include <hiredis/hiredis.h>

#include "base/buf.h"
#include "core/store/redis/scripts.h"
#include "core/store/store.h"

struct weir_redis_op {
    struct weir_redis_op *next;          /* on its connection, or spare */
    struct weir_redis_op *older, *newer; /* those not told yet, by deadline */
    struct weir_store_then then;
    struct weir_buf command;
    enum weir_redis_script script;
    uint64_t deadline_us; /* 0: the loop has not turned since the call */
    bool is_told;         /* `done` was called: what still comes is dropped */
    bool is_large;
    bool is_sent;    /* or it waits for a connection */
    bool looks_only; /* take: more units than the burst, so only looked */
    uint8_t n_loads; /* times that the script had to be loaded */
    uint8_t n_skip;  /* answers before its own: of loading */
    uint32_t n;      /* levels or holds */
    int64_t number;  /* summed over steps */
    union {
        weir_store_limit levels[WEIR_STORE_MAX_LEVELS]; /* without keys */
        uint64_t limits[WEIR_STORE_MAX_LEVELS];         /* of holds */
    };
    struct {                  /* invalidate, erase: to ask for the next step */
        weir_str tenant, key; /* in `names` */
        char names[2 * WEIR_STORE_MAX_KEY_BYTES];
    } again;
};

/* What the answer means. */
enum weir_redis_answer {
    WEIR_REDIS_ANSWERED, /* the result is filled */
    WEIR_REDIS_GO_ON,    /* the command is the next step's: send it */
    WEIR_REDIS_LOAD,     /* the script is unknown: load it and send the command again */
    WEIR_REDIS_AWAY      /* answered, and this server cannot serve us: look for another */
};

/* Items and numbers of an answer; of the loop, as only one answer is read at a time. */
struct weir_redis_room {
    weir_store_item items[WEIR_STORE_MAX_ITEMS];
    weir_store_left left[WEIR_STORE_MAX_LEVELS];
};

/* Fills the command and what decode needs. WEIR_E_NOMEM. */
int weir_redis_encode(struct weir_redis_op *op, const struct weir_redis_scripts *scripts,
                      weir_str prefix, const struct weir_store_call *call);
enum weir_redis_answer weir_redis_decode(struct weir_redis_op *op,
                                         const struct weir_redis_scripts *scripts, weir_str prefix,
                                         const redisReply *reply, struct weir_redis_room *room,
                                         weir_store_result *result);
/* The beginning of a tenant's keys: prefix:{tenant}: into b. */
void weir_redis_key_base(struct weir_buf *b, weir_str prefix, weir_str tenant);
