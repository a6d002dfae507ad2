/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis driver's TLS and login, and servers that are strange or hostile. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "redis_fixture.h"
#include "tests/support/cmocka.h"

static struct redis_server server;
static struct redis_store store;
static char dir[64];

static const char make_certificates[] =
    "cd \"$DIR\" && exec 2>/dev/null && "
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca "
    "-keyout ca.key -out ca.crt && "
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca2 "
    "-keyout other.key -out other.crt && "
    "for n in server client; do "
    "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=$n "
    "-keyout $n.key -out $n.csr && "
    "printf 'subjectAltName=DNS:redis.test,IP:127.0.0.1' > ext && "
    "openssl x509 -req -in $n.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext "
    "-out $n.crt || exit 1; done";

static int make_dir(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/weir-tls-XXXXXX");
    assert_non_null(mkdtemp(dir));
    assert_int_equal(setenv("DIR", dir, 1), 0);
    return system(make_certificates); /* NOLINT(cert-env33-c): a fixed text */
}

static int remove_dir(void **state)
{
    (void)state;
    return system("rm -r \"$DIR\""); /* NOLINT(cert-env33-c): a fixed text */
}

static char paths[5][96];

static const char *path(int i, const char *name)
{
    (void)snprintf(paths[i], sizeof(paths[i]), "%s/%s", dir, name);
    return paths[i];
}

static void start_tls(const char *auth_clients)
{
    char config[600];
    server.tls_port = redis_server_free_port();
    (void)snprintf(config, sizeof(config),
                   "tls-port %u\ntls-cert-file %s/server.crt\ntls-key-file %s/server.key\n"
                   "tls-ca-cert-file %s/ca.crt\ntls-auth-clients %s\n",
                   server.tls_port, dir, dir, dir, auth_clients);
    redis_server_start(&server, config, false);
}

static struct weir_store_redis_options tls_options(const char *host)
{
    char url[200];
    (void)snprintf(url, sizeof(url), "rediss://%s:%u/2", host, server.tls_port);
    struct weir_store_redis_options o = redis_store_options(url);
    o.tls_ca = path(0, "ca.crt");
    return o;
}

static void must_work(const struct weir_store_redis_options *o)
{
    redis_store_open(&store, o);
    redis_store_wait(&store, true);
    assert_int_equal(redis_store_set(&store, "k", "v"), 0);
    assert_int_equal(redis_store_get(&store, "k"), 0);
    redis_store_close(&store);
}

static void must_fail(const struct weir_store_redis_options *o, const char *why)
{
    redis_store_open(&store, o);
    for (int i = 0; i < 100 && !strstr(store.notices, why); i++) {
        redis_store_run(&store, 50, NULL);
    }
    if (!strstr(store.notices, why)) {
        fail_msg("%s is not said, but: %s", why, store.notices);
    }
    assert_false(weir_store_is_up(store.store));
    assert_int_equal(redis_store_set(&store, "k", "v"), WEIR_E_IO);
    redis_store_close(&store);
}

static void tls_works_and_checks_the_server(void **state)
{
    (void)state;
    start_tls("no");
    struct weir_store_redis_options o = tls_options("127.0.0.1");
    must_work(&o);
    o.tls_name = "redis.test";
    must_work(&o);
    o.tls_name = "elsewhere.test";
    must_fail(&o, "TLS: hostname mismatch");
    o.tls_name = "127.0.0.2";
    must_fail(&o, "TLS: IP address mismatch");
    o = tls_options("127.0.0.1");
    o.tls_ca = path(1, "other.crt");
    must_fail(&o, "TLS: self-signed certificate in certificate chain");
    o = tls_options("127.0.0.1");
    o.tls_ca = NULL; /* the system's know nothing of it */
    must_fail(&o, "TLS: ");
    /* TLS to a port that does not speak it. */
    char url[100];
    (void)snprintf(url, sizeof(url), "rediss://127.0.0.1:%u", server.port);
    o = redis_store_options(url);
    o.tls_ca = path(0, "ca.crt");
    must_fail(&o, "cannot use 127.0.0.1");
    redis_server_stop(&server);
}

static void large_values_pass_through_tls(void **state)
{
    (void)state;
    start_tls("no");
    struct weir_store_redis_options o = tls_options("127.0.0.1");
    redis_store_open(&store, &o);
    redis_store_wait(&store, true);
    static char value[WEIR_STORE_MAX_VALUE_BYTES];
    memset(value, 'v', sizeof(value));
    for (int i = 0; i < 20; i++) {
        assert_int_equal(
            redis_store_call(&store,
                             &(struct weir_store_call){.op = WEIR_STORE_SET,
                                                       .key = WEIR_STR_INIT("k"),
                                                       .value = {value, sizeof(value)}},
                             NULL),
            0);
        assert_int_equal(redis_store_call(&store,
                                          &(struct weir_store_call){.op = WEIR_STORE_GET,
                                                                    .key = WEIR_STR_INIT("k")},
                                          NULL),
                         0);
    }
    redis_store_close(&store);
    redis_server_stop(&server);
}

static void a_client_certificate_is_shown(void **state)
{
    (void)state;
    start_tls("yes");
    struct weir_store_redis_options o = tls_options("127.0.0.1");
    must_fail(&o, "cannot use");
    o.tls_cert = path(1, "client.crt");
    o.tls_key = path(2, "client.key");
    must_work(&o);
    redis_server_stop(&server);
}

static void bad_files_are_named(void **state)
{
    (void)state;
    struct weir_store_redis_options o = redis_store_options("rediss://127.0.0.1");
    struct weir_store *s = NULL;
    struct weir_error err = {0};
    o.tls_ca = "/nowhere/ca.crt";
    assert_int_equal(weir_store_redis_create(&o, &s, &err), WEIR_E_IO);
    assert_non_null(strstr(err.message, "/nowhere/ca.crt"));
    o.tls_ca = path(0, "ca.crt");
    o.tls_cert = path(1, "client.crt");
    o.tls_key = path(2, "server.key"); /* another's */
    assert_int_equal(weir_store_redis_create(&o, &s, &err), WEIR_E_IO);
    assert_non_null(strstr(err.message, "server.key"));
}

static void a_password_is_sent_and_never_shown(void **state)
{
    (void)state;
    server.password = "right%secret";
    redis_server_start(&server, "requirepass right%secret\n", false);
    (void)redis_server_do(&server, "ACL SETUSER weir on >usersecret ~weir:* &weir:* +@all -@admin");
    char url[200];
    (void)snprintf(url, sizeof(url), "redis://:right%%25secret@127.0.0.1:%u/1", server.port);
    struct weir_store_redis_options o = redis_store_options(url);
    must_work(&o);
    (void)snprintf(url, sizeof(url), "redis://weir:usersecret@127.0.0.1:%u", server.port);
    o = redis_store_options(url);
    must_work(&o);
    (void)snprintf(url, sizeof(url), "redis://weir:wrongsecret@127.0.0.1:%u", server.port);
    o = redis_store_options(url);
    must_fail(&o, "login: WRONGPASS");
    assert_null(strstr(store.notices, "wrongsecret"));
    (void)snprintf(url, sizeof(url), "redis://127.0.0.1:%u", server.port);
    o = redis_store_options(url);
    must_fail(&o, "NOAUTH");
    /* A user who may not do what is needed. */
    (void)redis_server_do(&server, "ACL SETUSER poor on >poorsecret ~other:* +@all");
    (void)snprintf(url, sizeof(url), "redis://poor:poorsecret@127.0.0.1:%u", server.port);
    o = redis_store_options(url);
    must_fail(&o, "NOPERM");
    redis_server_stop(&server);
    server.password = NULL;
}

/* ---- servers that are none ---- */

struct liar {
    int fd;
    uint16_t port;
    const char *answer; /* to whatever comes; NULL: none */
    size_t n;
    pthread_t thread;
};

static void *lie(void *arg)
{
    const struct liar *l = arg;
    for (;;) {
        int fd = accept(l->fd, NULL, NULL);
        if (fd < 0) {
            return NULL;
        }
        char bytes[4096];
        while (read(fd, bytes, sizeof(bytes)) > 0) {
            if (l->answer && write(fd, l->answer, l->n) < 0) {
                break;
            }
        }
        (void)close(fd);
    }
}

static void start_liar(struct liar *l, const char *answer, size_t n)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    *l = (struct liar){.answer = answer, .n = n};
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(l->fd >= 0 && bind(l->fd, (struct sockaddr *)&a, sizeof(a)) == 0 &&
                listen(l->fd, 8) == 0 && getsockname(l->fd, (struct sockaddr *)&a, &len) == 0);
    l->port = ntohs(a.sin_port);
    assert_int_equal(pthread_create(&l->thread, NULL, lie, l), 0);
}

static void stop_liar(struct liar *l)
{
    (void)shutdown(l->fd, SHUT_RDWR);
    (void)pthread_join(l->thread, NULL);
    (void)close(l->fd);
}

static void what_is_no_redis_is_not_believed(void **state)
{
    (void)state;
    static const struct {
        const char *answer, *why;
    } cases[] = {
        {"HTTP/1.1 400 Bad Request\r\n\r\n", "cannot use"},
        {"+OK\r\n+OK\r\n+OK\r\n", "it is no Redis"},
        {"*-1\r\n:1\r\n$-1\r\n", "it is no Redis"},
        {"*1\r\n$6\r\nmaster\r\n*1\r\n$6\r\nmaster\r\n-LOADING Redis is loading\r\n", "LOADING"},
        {"+OK\r\n*1\r\n$6\r\nmaster\r\n-MOVED 1 127.0.0.1:1\r\n", "Redis Cluster"},
        {"$999999999999999999999\r\n", "cannot use"},
        {"*2147483647\r\n", "cannot use"},
        {"*4097\r\n", "cannot use"},
        {"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", "cannot use"},
        {"\xff\xfe\x00\x01", "cannot use"},
        {NULL, "no answer in time"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct liar l;
        start_liar(&l, cases[i].answer, cases[i].answer ? strlen(cases[i].answer) : 0);
        char url[100];
        (void)snprintf(url, sizeof(url), "redis://127.0.0.1:%u", l.port);
        struct weir_store_redis_options o = redis_store_options(url);
        must_fail(&o, cases[i].why);
        stop_liar(&l);
    }
}

int main(void)
{
    if (!redis_server_is_installed()) {
        (void)printf("skipped: redis-server is not installed\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tls_works_and_checks_the_server),
        cmocka_unit_test(large_values_pass_through_tls),
        cmocka_unit_test(a_client_certificate_is_shown),
        cmocka_unit_test(bad_files_are_named),
        cmocka_unit_test(a_password_is_sent_and_never_shown),
        cmocka_unit_test(what_is_no_redis_is_not_believed),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
