/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Real redis-server processes for tests: each in a directory of its own, on a free port and a
 * socket.
 *
 * Errors: a failed start ends the test. Everything is killed and removed by stop(). */
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct redis_server {
    pid_t pid;
    char dir[64];
    char socket[96];
    uint16_t port, tls_port;
    redisContext *admin;  /* for the test's own commands; opened when first used */
    const char *password; /* of admin */
};

bool redis_server_is_installed(void);
uint16_t redis_server_free_port(void);
/* config: lines of redis.conf, appended. Sentinels too, with "sentinel ..." lines. */
void redis_server_start(struct redis_server *s, const char *config, bool is_sentinel);
/* After kill: the same directory, port and socket. */
void redis_server_restart(struct redis_server *s);
void redis_server_signal(struct redis_server *s, int signum);
void redis_server_kill(struct redis_server *s); /* SIGKILL, and waits for its end */
void redis_server_stop(struct redis_server *s); /* kill, and remove its files */
/* Runs a command; the reply is freed by the next one, or stop. */
redisReply *redis_server_do(struct redis_server *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Sends a command and does not wait for its answer, which is dropped with the connection. */
void redis_server_tell(struct redis_server *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
