/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/redis_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/cmocka.h"

static redisReply *last_reply;

bool redis_server_is_installed(void)
{
    return access("/usr/bin/redis-server", X_OK) == 0 ||
           access("/usr/local/bin/redis-server", X_OK) == 0;
}

uint16_t redis_server_free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    (void)close(fd);
    return ntohs(a.sin_port);
}

static void spawn(struct redis_server *s, bool is_sentinel)
{
    char config[96];
    (void)snprintf(config, sizeof(config), "%s/redis.conf", s->dir);
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that dies leaves nothing behind */
        int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        (void)dup2(fd, 1);
        (void)dup2(fd, 2);
        (void)execlp("redis-server", "redis-server", config, is_sentinel ? "--sentinel" : NULL,
                     (char *)NULL);
        _exit(127);
    }
}

static bool answers(struct redis_server *s)
{
    redisContext *c = redisConnectUnix(s->socket);
    redisReply *r = c && !c->err ? redisCommand(c, "PING") : NULL;
    bool ok = r && (r->type == REDIS_REPLY_STATUS || strncmp(r->str, "NOAUTH", 6) == 0);
    freeReplyObject(r);
    redisFree(c);
    return ok;
}

static void wait_until_up(struct redis_server *s)
{
    for (int i = 0; i < 1000; i++) {
        if (answers(s)) {
            return;
        }
        assert_int_equal(waitpid(s->pid, NULL, WNOHANG), 0);
        (void)usleep(20000);
    }
    fail_msg("redis-server does not come up");
}

void redis_server_start(struct redis_server *s, const char *config, bool is_sentinel)
{
    const char *password = s->password;
    uint16_t tls_port = s->tls_port;
    *s = (struct redis_server){.password = password, .tls_port = tls_port};
    (void)snprintf(s->dir, sizeof(s->dir), "/tmp/weir-redis-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    (void)snprintf(s->socket, sizeof(s->socket), "%s/sock", s->dir);
    s->port = redis_server_free_port();
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/redis.conf", s->dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    (void)fprintf(f, "port %u\nunixsocket %s\ndir %s\nbind 127.0.0.1\n%s%s\n", s->port, s->socket,
                  s->dir, is_sentinel ? "" : "save \"\"\nappendonly no\n", config);
    if (!is_sentinel) {
        (void)fprintf(f, "enable-debug-command yes\n");
    }
    (void)fclose(f);
    spawn(s, is_sentinel);
    wait_until_up(s);
}

void redis_server_restart(struct redis_server *s)
{
    spawn(s, false);
    wait_until_up(s);
}

void redis_server_signal(struct redis_server *s, int signum)
{
    assert_int_equal(kill(s->pid, signum), 0);
}

static void close_admin(struct redis_server *s)
{
    freeReplyObject(last_reply);
    last_reply = NULL;
    if (s->admin) {
        redisFree(s->admin);
        s->admin = NULL;
    }
}

void redis_server_kill(struct redis_server *s)
{
    close_admin(s);
    if (s->pid > 0) {
        (void)kill(s->pid, SIGKILL);
        (void)waitpid(s->pid, NULL, 0);
        s->pid = 0;
    }
}

void redis_server_stop(struct redis_server *s)
{
    redis_server_kill(s);
    static const char *const names[] = {"redis.conf", "sock", "dump.rdb"};
    char path[128];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", s->dir, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(s->dir);
}

static redisContext *admin_of(struct redis_server *s)
{
    if (!s->admin) {
        s->admin = redisConnectUnix(s->socket);
        assert_true(s->admin && !s->admin->err);
        if (s->password) {
            freeReplyObject(redisCommand(s->admin, "AUTH %s", s->password));
        }
    }
    return s->admin;
}

redisReply *redis_server_do(struct redis_server *s, const char *fmt, ...)
{
    redisContext *c = admin_of(s);
    freeReplyObject(last_reply);
    va_list ap;
    va_start(ap, fmt);
    last_reply = redisvCommand(c, fmt, ap);
    va_end(ap);
    assert_non_null(last_reply);
    return last_reply;
}

void redis_server_tell(struct redis_server *s, const char *fmt, ...)
{
    redisContext *c = redisConnectUnix(s->socket);
    assert_true(c && !c->err);
    va_list ap;
    va_start(ap, fmt);
    assert_int_equal(redisvAppendCommand(c, fmt, ap), REDIS_OK);
    va_end(ap);
    int done = 0;
    while (!done) {
        assert_int_equal(redisBufferWrite(c, &done), REDIS_OK);
    }
    (void)usleep(20000); /* it must have been read before the connection ends */
    redisFree(c);
}
