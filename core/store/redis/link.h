/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One connection to a Redis or Sentinel: connect, TLS, login, pipelined bytes out, replies in.
 *
 * Why not hiredis' asynchronous context: it resolves names on the loop, Debian 12's has no TLS, and
 * it trusts the server with assert(). hiredis' reader takes replies apart.
 * Life: open; `ready` once; `reply` for each reply but those of the login; `down` once when it
 * fails, after which it must not be used. close() ends it without `down`. Memory goes when its
 * handle is closed. Callbacks run out of the loop, never inside a call of this interface.
 * Threads: its loop's. Bounds: what is not written yet 128 MiB, an answer 16 MiB and 4096 elements;
 * beyond them the link fails. */
#include <hiredis/hiredis.h>
#include <sys/socket.h>
#include <uv.h>

#include "base/error.h"
#include "base/tls_client.h"

struct weir_redis_link;

/* Bytes on their way in; of the loop, shared by its links. */
struct weir_redis_scratch {
    char input[64 * 1024], plain[32 * 1024];
};

struct weir_redis_address {
    bool is_unix;
    struct sockaddr_storage ip; /* unless is_unix */
    char path[108];
    char name[256]; /* what TLS must find, and people see */
    uint16_t port;
};

bool weir_redis_address_is_same(const struct weir_redis_address *a,
                                const struct weir_redis_address *b);

struct weir_redis_login {
    const char *user, *password; /* "": none */
    uint32_t db;
    bool is_sentinel;                    /* may know neither user nor database */
    struct weir_tls_client_context *tls; /* NULL: none */
    const char *tls_name;                /* NULL: the address' name */
};

struct weir_redis_link_events {
    void (*ready)(void *user, struct weir_redis_link *link);
    void (*reply)(void *user, struct weir_redis_link *link, redisReply *reply);
    void (*down)(void *user, struct weir_redis_link *link, const char *why);
};

int weir_redis_link_open(uv_loop_t *loop, struct weir_redis_scratch *scratch,
                         const struct weir_redis_address *address,
                         const struct weir_redis_login *login,
                         const struct weir_redis_link_events *events, void *user,
                         struct weir_redis_link **ret_link);
void weir_redis_link_close(struct weir_redis_link *link); /* NULL ok */

/* Where to append commands; only when it is ready. They leave with the next flush. */
struct weir_buf *weir_redis_link_out(struct weir_redis_link *link);
/* Fails later, from the loop, by `down`. */
void weir_redis_link_flush(struct weir_redis_link *link);
