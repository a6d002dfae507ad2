/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The main loop's part of the driver: finding and checking a server (control.c), Sentinel
 * (sentinel.c), and taking messages (listen.c).
 *
 * Ownership: freed when its handles are closed and no name is being resolved. Threads: [main]. */
#include "core/store/redis/redis_internal.h"

enum weir_redis_control_step {
    CONTROL_IDLE,
    CONTROL_ASKING, /* Sentinels */
    CONTROL_RESOLVING,
    CONTROL_PROBING
};

/* One of the URL's. */
struct weir_redis_sentinel {
    struct weir_redis_control *control;
    struct weir_redis_link *link; /* NULL: none; stays, to hear of a switch */
    struct weir_redis_address address;
    bool is_resolving;
    bool has_answered;             /* on this connection */
    bool is_awaited;               /* by the try */
    bool was_tried;                /* the master that it names, in this try */
    struct weir_store_host master; /* port 0: it has named none */
    uint64_t heard_us;
};

struct weir_redis_control {
    struct weir_redis *r;
    struct weir_redis_loop *loop;
    uint32_t n_refs;
    bool is_closed;
    uv_timer_t timer; /* IDLE: the next try; else its end */
    enum weir_redis_control_step step;
    uint32_t n_try;
    unsigned n_failed; /* tries, since it was steady */
    uint64_t next_us;  /* IDLE: when the next try is due; 0: none is */
    uint64_t tried_us, closed_us;
    uint64_t random;
    char last_why[192];
    struct weir_redis_address candidate;
    struct weir_redis_link *probe;
    uint32_t n_answers; /* of the probe */

    struct weir_redis_sentinel sentinels[WEIR_STORE_URL_MAX_HOSTS];
    uint32_t n_sentinels, n_awaited;
    bool has_gathered; /* the answers so far are enough to choose */
    bool has_switched; /* a Sentinel said so since the try began */
    char sentinel_why[192];

    struct weir_redis_link *messages;
    uv_timer_t beat; /* a message to ourselves shows that messages arrive */
    uint64_t heard_us;
};

/* control.c */
void weir_redis_control_fail(struct weir_redis_control *c, const char *why);
/* `found` has name and port in any case, and an address unless `why` says that there is none. */
typedef void (*weir_redis_resolved)(void *arg, uint32_t n_try,
                                    const struct weir_redis_address *found, const char *why);
int weir_redis_control_resolve(struct weir_redis_control *c, const char *name, uint16_t port,
                               weir_redis_resolved then, void *arg);
/* Resolves the master's name, and goes on with the try. */
void weir_redis_control_look_up(struct weir_redis_control *c, const char *name, uint16_t port);
void weir_redis_control_try_soon(struct weir_redis_control *c);
/* There is another master: a try at once, or behind the one that is under way. */
void weir_redis_control_switched(struct weir_redis_control *c);

/* sentinel.c */
void weir_redis_control_start_sentinels(struct weir_redis_control *c);
void weir_redis_control_close_sentinels(struct weir_redis_control *c);
void weir_redis_control_ask_sentinels(struct weir_redis_control *c);
/* The first answers have waited long enough for the others. */
void weir_redis_control_gathered(struct weir_redis_control *c);
/* The master that was named is none. False: nobody can name another. */
bool weir_redis_control_try_other(struct weir_redis_control *c, const char *why);
/* Connects to those that are lost, and finds out whether the others are still there. */
void weir_redis_control_look_after_sentinels(struct weir_redis_control *c);

/* listen.c: takes the link over and subscribes. */
void weir_redis_control_listen(struct weir_redis_control *c, struct weir_redis_link *link);
void weir_redis_control_stop_listening(struct weir_redis_control *c);
void weir_redis_control_heard(struct weir_redis_control *c, const redisReply *reply);
void weir_redis_control_start_beat(struct weir_redis_control *c);
