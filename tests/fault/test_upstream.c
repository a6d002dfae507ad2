/* SPDX-License-Identifier: Apache-2.0 */
/* An upstream's whole life while memory runs out: settings, lane, requests of every kind, end.
 * Whatever fails, a submitted generation ends exactly once, and everything is given back. */
#include <stdio.h>
#include <stdlib.h>

#include "lane.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/cmocka.h"
#include "upstream_server.h"

enum { N_JOBS = 4, MAX_TURNS = 100000 };

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
    uv_loop_t loop = {0}; /* uv_loop_init() keeps its data */
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

static void every_request_ends_once(bool tls, const char *http2, size_t max)
{
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
    struct upstream_server *server = upstream_server_start(tls);
    (void)snprintf(life.config, sizeof(life.config),
                   "{\"url\":\"http%s://127.0.0.1:%u/v1\",\"model\":\"m\",\"http2\":\"%s\","
                   "\"timeouts\":{\"connect\":\"5s\"}%s}",
                   tls ? "s" : "", upstream_server_port(server), http2,
                   tls ? ",\"tls\":{\"verify\":false}" : "");
    assert_int_equal(live(&life), 0);
    assert_int_equal(life.n_chunks[1], 2);
    assert_int_equal(life.n_chunks[2], 3);
    assert_int_equal(life.n_chunks[3], 2);
    assert_int_equal(life.n_chunks[4], 3);
    assert_in_range(alloc_fail_each(live, &life, max), 20, max);
    upstream_server_end(server);
}

static void over_http1(void **state)
{
    (void)state;
    every_request_ends_once(false, "off", 400);
}

static void over_http2(void **state)
{
    (void)state;
    every_request_ends_once(false, "on", 400);
}

static void over_tls_http1(void **state)
{
    (void)state;
    every_request_ends_once(true, "off", 600);
}

static void over_tls_http2(void **state)
{
    (void)state;
    every_request_ends_once(true, "auto", 600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(over_http1),
        cmocka_unit_test(over_http2),
        cmocka_unit_test(over_tls_http1),
        cmocka_unit_test(over_tls_http2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
