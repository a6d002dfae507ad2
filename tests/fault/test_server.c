/* SPDX-License-Identifier: Apache-2.0 */
/* The whole daemon in this process while memory runs out: it starts or says why not, answers each
 * request or ends its connection, and then serves and stops as if nothing had been. */
#include "core/server/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/open_engine.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/cmocka.h"

enum { HANGS_AFTER_S = 60, MAX_ANSWER_BYTES = 1 << 16 };

static char config_file[] = "/tmp/weir-fault-XXXXXX";

static const char config_text[] =
    "server: {listen: ['127.0.0.1:0'], admin: '127.0.0.1:0', workers: 1}\n"
    "logging: {level: error}\n"
    "metrics: {compat: [vllm]}\n"
    "models: {echo: {targets: [{engine: {backend: echo}}]}}\n"
    "plugins: [{" EXAMPLES_DIR "/header_stamp.so: {header: x-a, value: b}},\n"
    "          {" EXAMPLES_DIR "/chunk_redact.so: {word: secret}}]\n"
    "plugin_dirs: [" EXAMPLES_DIR "]\n"
    "tenants: {t: {models: [echo], keys: [{name: k, secret: abcdefgh}]}}\n";

static int write_config(void **state)
{
    (void)state;
    int fd = mkstemp(config_file);
    bool ok = fd >= 0 && write(fd, config_text, sizeof(config_text) - 1) > 0 && close(fd) == 0;
    return ok ? 0 : -1;
}

static int remove_config(void **state)
{
    (void)state;
    return unlink(config_file);
}

typedef void ready_fn(void *arg, const struct weir_config *config, uint16_t port, uint16_t admin,
                      bool all_ready);

static int serve(ready_fn *ready, void *arg)
{
    struct weir_open_engines engines = {.n = 0};
    const struct weir_server_options options = {
        .config_file = config_file,
        .open_engine = weir_open_engine,
        .close_engines = weir_open_engines_finish,
        .engine_arg = &engines,
        .ready = ready,
        .ready_arg = arg,
    };
    struct weir_findings findings;
    struct weir_error err = {0};
    weir_findings_init(&findings, config_file);
    int r = weir_server_run(&options, &findings, &err);
    if (r < 0 && !err.message[0]) {
        abort(); /* a person must be told why */
    }
    weir_findings_finish(&findings);
    return r;
}

static void stop_at_once(void *arg, const struct weir_config *config, uint16_t port, uint16_t admin,
                         bool all_ready)
{
    (void)arg;
    (void)config;
    (void)port;
    (void)admin;
    (void)all_ready; /* a model whose load failed is tried again later */
    (void)raise(SIGTERM);
}

static int start_and_stop(void *arg)
{
    (void)arg;
    return serve(stop_at_once, NULL);
}

static void a_start_succeeds_or_says_why_not(void **state)
{
    (void)state;
    assert_true(alloc_fail_each(start_and_stop, NULL, 10000) > 100);
}

/* A daemon in a thread of its own, and what its client needs. */
struct daemon {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t is_up;
    uint16_t port, admin_port; /* 0: not yet */
    int r;
};

static void on_ready(void *arg, const struct weir_config *config, uint16_t port, uint16_t admin,
                     bool all_ready)
{
    struct daemon *d = arg;
    (void)config;
    if (!all_ready) {
        abort();
    }
    pthread_mutex_lock(&d->lock);
    d->port = port;
    d->admin_port = admin;
    pthread_cond_signal(&d->is_up);
    pthread_mutex_unlock(&d->lock);
}

static void *run_daemon(void *arg)
{
    struct daemon *d = arg;
    d->r = serve(on_ready, d);
    return NULL;
}

struct exchange {
    const struct daemon *daemon;
    bool is_admin;
    const char *request; /* head without the fields that are the same in all */
    const char *body;
    const char *end; /* of a whole answer */
};

static int connect_to(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const struct timeval patience = {.tv_sec = HANGS_AFTER_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        abort();
    }
    return fd;
}

/* Reads to the end of the connection; a server that lets its client wait is a failure. */
static size_t read_all(int fd, char *to, size_t cap)
{
    size_t n = 0;
    ssize_t got = 0;
    while (n + 1 < cap && (got = recv(fd, to + n, cap - 1 - n, 0)) > 0) {
        n += (size_t)got;
    }
    if (got < 0 && errno == EAGAIN) {
        fprintf(stderr, "the server does not answer; so far: %.*s\n", (int)n, to);
        abort();
    }
    to[n] = '\0';
    return n;
}

/* 0: answered with 200 and whole. */
static int exchange(void *arg)
{
    const struct exchange *x = arg;
    char request[2048];
    static char answer[MAX_ANSWER_BYTES];
    int n = snprintf(request, sizeof(request),
                     "%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                     x->request, strlen(x->body), x->body);
    int fd = connect_to(x->is_admin ? x->daemon->admin_port : x->daemon->port);
    (void)!send(fd, request, (size_t)n, MSG_NOSIGNAL);
    size_t n_answer = read_all(fd, answer, sizeof(answer));
    (void)close(fd);
    if (n_answer > 0 && strncmp(answer, "HTTP/1.1 ", 9) != 0) {
        abort();
    }
    bool whole = strncmp(answer, "HTTP/1.1 200 ", 13) == 0 && strstr(answer, x->end) != NULL;
    return whole ? 0 : WEIR_E_NOMEM;
}

#define CHAT "\"messages\":[{\"role\":\"user\",\"content\":\"a secret\"}]"

static void a_request_is_answered_or_ended(void **state)
{
    (void)state;
    struct daemon d = {.lock = PTHREAD_MUTEX_INITIALIZER, .is_up = PTHREAD_COND_INITIALIZER};
    assert_int_equal(pthread_create(&d.thread, NULL, run_daemon, &d), 0);
    pthread_mutex_lock(&d.lock);
    while (!d.port) {
        pthread_cond_wait(&d.is_up, &d.lock);
    }
    pthread_mutex_unlock(&d.lock);
    struct exchange exchanges[] = {
        {&d, false, "POST /v1/chat/completions", "{\"model\":\"echo\",\"n\":2," CHAT "}",
         "\"total_tokens\""},
        {&d, false, "POST /v1/chat/completions", "{\"stream\":true,\"stop\":[\"x\"]," CHAT "}",
         "data: [DONE]"},
        {&d, false, "POST /v1/completions", "{\"echo\":true,\"prompt\":\"abc\"}",
         "\"total_tokens\""},
        {&d, false, "POST /tokenize", "{\"content\":\"hi\"}", "[104,105]"},
        {&d, false, "POST /detokenize", "{\"tokens\":[104,105]}", "\"hi\""},
        {&d, false, "GET /v1/models", "", "\"echo\""},
        {&d, true, "GET /metrics", "", "weir_requests_running"},
        {&d, true, "GET /admin/v1/plugins", "", "header_stamp"},
        {&d, true, "GET /healthz/ready", "", "\r\n\r\n"},
    };
    for (size_t i = 0; i < sizeof(exchanges) / sizeof(exchanges[0]); i++) {
        (void)alloc_fail_each(exchange, &exchanges[i], 10000);
    }
    for (size_t i = 0; i < sizeof(exchanges) / sizeof(exchanges[0]); i++) {
        assert_int_equal(exchange(&exchanges[i]), 0);
    }
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    assert_int_equal(pthread_join(d.thread, NULL), 0);
    assert_int_equal(d.r, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_start_succeeds_or_says_why_not),
        cmocka_unit_test(a_request_is_answered_or_ended),
    };
    return cmocka_run_group_tests(tests, write_config, remove_config);
}
