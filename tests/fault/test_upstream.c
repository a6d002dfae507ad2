/* SPDX-License-Identifier: Apache-2.0 */
/* An upstream's whole life while memory runs out: settings, lane, requests of every kind, end.
 * Whatever fails, a submitted generation ends exactly once, and everything is given back. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lane.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/cmocka.h"

enum { N_JOBS = 4, REQUEST_BYTES = 8192, MAX_TURNS = 100000 };

/* ---- the server: needs no memory of its own ---- */

static const char *const answers[WEIR_UPSTREAM_KINDS] = {
    [WEIR_GENERATION_CHAT] =
        "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"Hello "
        "there\",\"tool_calls\":[{\"id\":\"c\","
        "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},\"finish_reason\":\"stop\"}],"
        "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}",
    [WEIR_GENERATION_COMPLETION] = "{\"choices\":[{\"text\":\"ab\",\"logprobs\":{\"tokens\":[\"a\","
                                   "\"b\"],\"token_logprobs\":[-1,-2],"
                                   "\"top_logprobs\":[{\"a\":-1},{\"b\":-2}],\"text_offset\":[0,1]}"
                                   ",\"finish_reason\":\"length\"}]}",
    [WEIR_GENERATION_EMBEDDING] =
        "{\"data\":[{\"index\":0,\"embedding\":[0.5,1]},{\"index\":1,\"embedding\":[2]}],"
        "\"usage\":{\"prompt_tokens\":3}}",
};
static const char events[] =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"}}]}\n\n"
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: "
    "[DONE]\n\n";

static void answer(int fd, const char *request)
{
    char text[2048];
    bool stream = strstr(request, "text/event-stream") != NULL;
    int kind = strstr(request, "/chat/")        ? WEIR_GENERATION_CHAT
               : strstr(request, "/embeddings") ? WEIR_GENERATION_EMBEDDING
                                                : WEIR_GENERATION_COMPLETION;
    const char *body = stream ? events : answers[kind];
    int n = snprintf(text, sizeof(text),
                     "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
                     stream ? "text/event-stream" : "application/json", strlen(body), body);
    (void)!write(fd, text, (size_t)n);
}

/* True: the head and as many bytes behind it as it says. */
static bool is_whole(const char *request)
{
    const char *end = strstr(request, "\r\n\r\n"), *length = strstr(request, "Content-Length: ");
    return end && length && strlen(end + 4) >= strtoul(length + 16, NULL, 10);
}

static void *serve_one(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char request[REQUEST_BYTES];
    size_t n = 0;
    ssize_t got = 0;
    while ((got = read(fd, request + n, sizeof(request) - 1 - n)) > 0) {
        n += (size_t)got;
        request[n] = '\0';
        if (is_whole(request)) {
            answer(fd, request);
            n = 0;
        }
    }
    (void)close(fd);
    return NULL;
}

/* One thread for each connection: they are few, and end with it. */
static void *serve(void *arg)
{
    int listener = (int)(intptr_t)arg, fd = 0;
    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve_one, (void *)(intptr_t)fd) == 0) {
            (void)pthread_detach(thread);
        } else {
            (void)close(fd);
        }
    }
    return NULL;
}

static uint16_t start_server(int *ret_listener, pthread_t *ret_thread)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, n), 0);
    assert_int_equal(listen(listener, 64), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &n), 0);
    assert_int_equal(pthread_create(ret_thread, NULL, serve, (void *)(intptr_t)listener), 0);
    *ret_listener = listener;
    return ntohs(address.sin_port);
}

/* ---- the host and the sink ---- */

struct life {
    weir_host host; /* first: the target holds it */
    weir_sink sink;
    char config[200];
    int n_finished[N_JOBS + 1], n_chunks[N_JOBS + 1];
    int32_t rc; /* the worst of the ends */
};

static struct life *current; /* the sink is const where it is given back */

static uint64_t now_us(const weir_host *h)
{
    (void)h;
    return uv_hrtime() / 1000;
}

static const void *get_ext(const weir_host *h, const char *id)
{
    (void)h;
    (void)id;
    return NULL;
}

static void write_log(const weir_host *h, int level, weir_req *r, weir_str message)
{
    (void)h;
    (void)level;
    (void)r;
    (void)message;
}

static int push(const weir_sink *sink, weir_ticket ticket, const weir_chunk *chunk)
{
    (void)sink;
    (void)chunk;
    current->n_chunks[ticket]++;
    return 0;
}

static void finish(const weir_sink *sink, weir_ticket ticket, const weir_outcome *outcome)
{
    (void)sink;
    current->n_finished[ticket]++;
    current->rc = outcome->rc < current->rc ? outcome->rc : current->rc;
}

static void nothing(const weir_sink *sink)
{
    (void)sink;
}

/* ---- the life ---- */

static const weir_generation generations[N_JOBS + 1] = {
    [1] = {.kind = WEIR_GENERATION_CHAT, .stream = 1, .messages_json = WEIR_STR_INIT("[]")},
    [2] = {.kind = WEIR_GENERATION_CHAT, .messages_json = WEIR_STR_INIT("[]")},
    [3] = {.kind = WEIR_GENERATION_COMPLETION, .prompt = WEIR_STR_INIT("a"), .want_logprobs = 1},
    [4] = {.kind = WEIR_GENERATION_EMBEDDING,
           .input_json = WEIR_STR_INIT("[\"a\",\"b\"]"),
           .n_inputs = 2},
};

/* Gives all to the lane and waits for the ends of those that it took; a negative code when one was
 * not taken or ended badly. */
static int run_all(struct life *life, struct weir_upstream_lane *lane, uv_loop_t *loop)
{
    weir_generation g[N_JOBS + 1];
    int rc = 0, n_taken = 0, n_ended = 0;
    memcpy(g, generations, sizeof(g));
    for (weir_ticket i = 1; i <= N_JOBS; i++) {
        const weir_prepared prepared = {.struct_size = sizeof(prepared), .prompt_tokens = 3};
        g[i].struct_size = sizeof(g[i]);
        g[i].n = 1;
        int r = weir_upstream_lane_submit(lane, &g[i], &prepared, i);
        n_taken += r == 0;
        rc = r < 0 ? r : rc;
    }
    for (int turn = 0; n_ended < n_taken && turn < MAX_TURNS; turn++) {
        (void)uv_run(loop, UV_RUN_ONCE);
        n_ended = 0;
        for (int i = 1; i <= N_JOBS; i++) {
            n_ended += life->n_finished[i];
        }
    }
    if (n_ended != n_taken) {
        abort(); /* one ended twice, or never */
    }
    return rc < 0 ? rc : life->rc;
}

static int live(void *arg)
{
    struct life *life = arg;
    struct weir_upstream *u = NULL;
    struct weir_error err = {0};
    uv_loop_t loop;
    current = life;
    life->rc = 0;
    memset(life->n_finished, 0, sizeof(life->n_finished));
    memset(life->n_chunks, 0, sizeof(life->n_chunks));
    int rc = weir_upstream_create(&life->host, weir_str_from(life->config), &life->sink, &u, &err);
    if (rc < 0) {
        return rc;
    }
    if (uv_loop_init(&loop) < 0) {
        abort();
    }
    rc = weir_upstream_lane_create(u, &loop, &u->lanes[0]);
    if (rc == 0) {
        u->n_lanes = 1;
        rc = run_all(life, u->lanes[0], &loop);
        while (weir_upstream_lane_end(u->lanes[0]) == WEIR_E_BUSY) {
            (void)uv_run(&loop, UV_RUN_ONCE);
        }
    }
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&loop) < 0) {
        abort(); /* a handle is left */
    }
    weir_upstream_destroy(u);
    return rc;
}

static void every_request_ends_once(void **state)
{
    int listener = -1;
    pthread_t server;
    struct life life = {.host = {.struct_size = sizeof(life.host),
                                 .get_ext = get_ext,
                                 .now_us = now_us,
                                 .log = write_log},
                        .sink = {.struct_size = sizeof(life.sink),
                                 .max_tickets = N_JOBS + 1,
                                 .push = push,
                                 .finish = finish,
                                 .notify = nothing,
                                 .flush = nothing}};
    (void)state;
    uint16_t port = start_server(&listener, &server);
    (void)snprintf(
        life.config, sizeof(life.config),
        "{\"url\":\"http://127.0.0.1:%u/v1\",\"model\":\"m\",\"timeouts\":{\"connect\":\"5s\"}}",
        port);
    assert_int_equal(live(&life), 0);
    assert_int_equal(life.n_chunks[1], 2);
    assert_int_equal(life.n_chunks[2], 3);
    assert_int_equal(life.n_chunks[3], 2);
    assert_int_equal(life.n_chunks[4], 3);
    assert_in_range(alloc_fail_each(live, &life, 400), 20, 400);
    (void)shutdown(listener, SHUT_RDWR);
    (void)close(listener);
    (void)pthread_join(server, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_request_ends_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
