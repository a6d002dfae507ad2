/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The main loop's part of the driver: finding and checking a server (control.c), Sentinel
 * (sentinel.c), and taking messages (listen.c).
 *
 * Ownership: freed when its handles are closed and no name is being resolved. Threads: [main]. */
#include "core/store/redis/redis_internal.h"

enum weir_redis_control_step { CONTROL_IDLE, CONTROL_FINDING, CONTROL_PROBING };

struct weir_redis_control {
    struct weir_redis *r;
    struct weir_redis_loop *loop;
    uint32_t n_refs;
    bool is_closed;
    uv_timer_t timer; /* IDLE: the next try; else its end */
    enum weir_redis_control_step step;
    uint32_t n_try, next_host; /* of the URL's */
    unsigned n_failed;         /* tries, since it was steady */
    uint64_t next_us;          /* IDLE: when the next try is due; 0: none is */
    uint64_t tried_us, closed_us;
    uint64_t random;
    char last_why[192];
    struct weir_redis_address candidate;
    struct weir_redis_link *probe;
    uint32_t n_answers; /* of the probe */

    struct weir_redis_link *sentinel; /* stays, to hear of a switch */
    bool sentinel_listens, sentinel_answered;

    struct weir_redis_link *messages;
    uv_timer_t beat; /* a message to ourselves shows that messages arrive */
    uint64_t heard_us;
};

/* control.c */
void weir_redis_control_fail(struct weir_redis_control *c, const char *why);
/* Resolves, then goes on with `then`; sets the candidate. */
void weir_redis_control_resolve(struct weir_redis_control *c, const char *name, uint16_t port,
                                void (*then)(struct weir_redis_control *c));
void weir_redis_control_probe(struct weir_redis_control *c);
void weir_redis_control_try_soon(struct weir_redis_control *c);
void weir_redis_control_try_now(struct weir_redis_control *c);

/* sentinel.c */
void weir_redis_control_ask_sentinel(struct weir_redis_control *c);

/* listen.c: takes the link over and subscribes. */
void weir_redis_control_listen(struct weir_redis_control *c, struct weir_redis_link *link);
void weir_redis_control_stop_listening(struct weir_redis_control *c);
void weir_redis_control_heard(struct weir_redis_control *c, const redisReply *reply);
void weir_redis_control_start_beat(struct weir_redis_control *c);
