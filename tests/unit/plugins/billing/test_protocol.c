/* SPDX-License-Identifier: Apache-2.0 */
/* Bills against a store that is late, fails or forgets, and replicas that die: nothing is billed
 * twice, and never more than was delivered. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "replica.h"
#include "tests/support/cmocka.h"

static struct world world;
static struct client client;
static struct ledger ledger;

static char book_file[] = "billing-prices-XXXXXX";

/* Prices in micro-units: 1 per prompt token, 0.25 per cached one, 4 per completion token, 100 per
 * request. */
static const char book[] = "currency: EUR\nmodels:\n  m:\n  - {from: 2020-01-01, prompt: 1, "
                           "cached: 0.25, completion: 4, request: 0.0001, gpu_second: 0}\n";

static int make_book(void **state)
{
    (void)state;
    int fd = mkstemp(book_file);
    bool ok = fd >= 0 && write(fd, book, sizeof(book) - 1) == (ssize_t)(sizeof(book) - 1);
    return ok && close(fd) == 0 ? 0 : -1;
}

static int remove_book(void **state)
{
    (void)state;
    return unlink(book_file);
}

static struct replica *start(const char *more)
{
    char config[512];
    (void)snprintf(config, sizeof(config), "{price_book: %s%s}", book_file, more);
    return world_start(&world, config);
}

static void is_billed(int64_t delivered)
{
    world_read(&world, "acme", &ledger);
    assert_int_equal(ledger.delivered, delivered);
    assert_true(ledger.n_usage <= 1);
}

static bool last_has(const char *text)
{
    return strstr(ledger.last, text) != NULL;
}

static void a_finished_request_is_one_entry_with_its_price(void **state)
{
    (void)state;
    for (int stream = 0; stream < 2; stream++) {
        world_init(&world);
        client_ask(&client, start(""), stream, NULL, "{\"user\":\"u\"}");
        assert_int_equal(client.outcome, WEIR_PLUGIN_DONE);
        assert_int_equal(client_generate(&client, 500), 500);
        client_end(&client, 200);
        is_billed(500);
        assert_int_equal(ledger.n_usage, 1);
        assert_int_equal(ledger.n_adjustments, 0);
        assert_int_equal(ledger.prompt, 12);
        assert_int_equal(ledger.cached, 4);
        assert_int_equal(ledger.amount, 8 + 1 + 2000 + 100);
        assert_true(last_has("\"tenant\":\"acme\",\"key\":\"web\""));
        assert_true(last_has("\"model\":\"m\",\"target\":\"m/0\",\"class\":\"interactive_ui\""));
        assert_true(last_has("\"currency\":\"EUR\",\"price\":{\"version\":\"2020-01-01\""));
        assert_true(last_has("\"status\":200,\"finish\":\"stop\",\"error\":\"\""));
        assert_int_equal(world_n_jobs(&world, "billing.open"), 0);
        world_finish(&world);
    }
}

static void a_client_that_leaves_pays_for_what_it_got(void **state)
{
    (void)state;
    world_init(&world);
    client_ask(&client, start(""), true, NULL, "{}");
    assert_int_equal(client_generate(&client, 77), 77);
    client.n_out = 80; /* three more are on their way when it leaves */
    client_end(&client, 0);
    is_billed(77);
    assert_int_equal(ledger.completion, 80);
    assert_int_equal(ledger.amount, 8 + 1 + 4 * 77 + 100);
    assert_true(last_has("\"error\":\"client_gone\""));
    world_finish(&world);
}

static void nothing_delivered_costs_nothing(void **state)
{
    (void)state;
    world_init(&world);
    struct replica *p = start("");
    client_ask(&client, p, false, NULL, "{}");
    assert_int_equal(client_generate(&client, 40), 40);
    client_end(&client, 0);
    is_billed(0);
    assert_int_equal(ledger.n_usage, 1);
    assert_int_equal(ledger.prompt, 0);
    assert_int_equal(ledger.amount, 0);
    world_finish(&world);
}

static void output_waits_for_the_job_and_for_marks(void **state)
{
    (void)state;
    world_init(&world);
    struct replica *p = start("");
    replica_fault(p, FAULT_LATE, 0, UINT32_MAX);
    p->keeps_answers = true;
    client_ask(&client, p, true, NULL, "{}");
    assert_int_equal(client.outcome, WEIR_PLUGIN_DONE);
    assert_int_equal(client_generate(&client, 1), 0); /* the job is not acknowledged */

    (void)faulty_store_release(&p->store);
    weir_kit_stage_turn(&p->stage);
    assert_int_equal(client.request.n_unpaused, 1);
    client.n_out = 1; /* the chunk that was held */
    client.request.numbers[WEIR_NUMBER_OUTPUT_TOKENS] = 1;
    assert_int_equal(client_generate(&client, 500), 63); /* 64 beyond the mark, which is at 0 */

    replica_heal(p);
    client.n_out++;
    client.request.numbers[WEIR_NUMBER_OUTPUT_TOKENS]++;
    assert_int_equal(client_generate(&client, 435), 435);
    client_end(&client, 200);
    is_billed(500);
    world_finish(&world);
}

static void ignore(void *arg, const weir_chunk *chunk)
{
    (void)arg;
    (void)chunk;
}

static void a_large_chunk_goes_out_when_all_before_is_marked(void **state)
{
    (void)state;
    world_init(&world);
    struct replica *p = start("");
    client_ask(&client, p, true, NULL, "{}");
    assert_int_equal(client_generate(&client, 10), 10);
    const weir_chunk chunk = {
        .struct_size = sizeof(chunk), .kind = WEIR_CHUNK_TEXT, .text = {"x", 1}, .n_tokens = 200};
    struct weir_plugin_run *run = &client.request.run;
    (void)weir_plugin_run_chunk(run, &chunk, ignore, NULL);
    world_pass(&world, 2);
    assert_false(weir_plugin_run_is_paused(run));
    client.n_out += 200;
    client_end(&client, 200);
    is_billed(210);
    world_finish(&world);
}

/* Runs the same request on a replica that dies at store call number `at`; false when it ended
 * before. */
static bool die_at(uint32_t at, bool stream)
{
    world_init(&world);
    struct replica *p = start("");
    (void)start("");
    replica_fault(p, FAULT_DEAD, at, UINT32_MAX);
    client_ask(&client, p, stream, NULL, "{}");
    uint64_t n = 0;
    if (client.outcome == WEIR_PLUGIN_DONE) {
        n = client_generate(&client, 300);
    }
    bool ended = n == 300;
    if (ended) {
        client_end(&client, 200);
    }
    bool died = p->store.n_calls > at;
    replica_die(p);
    world_pass(&world, 10);
    world_read(&world, "acme", &ledger);
    int64_t unbilled = (int64_t)client.n_received - ledger.delivered;
    assert_true(unbilled >= 0);
    /* The answer that is not streamed is delivered at once, and settled in the same breath: its
     * death between the two is the one case in which a whole answer is given away. */
    bool whole = !stream && ended && ledger.n_usage == 1 && unbilled == 300;
    assert_true(unbilled <= 64 || whole);
    assert_true(ledger.n_usage <= 1);
    assert_int_equal(ledger.n_adjustments, 0);
    if (at > 0 && died) {
        assert_int_equal(ledger.n_usage, 1);
    }
    client_forget(&client);
    world_finish(&world);
    return died;
}

static void a_death_at_any_store_call_bills_the_last_mark_within_10_s(void **state)
{
    (void)state;
    uint32_t streamed = 0, whole = 0;
    while (die_at(streamed, true)) {
        streamed++;
    }
    while (die_at(whole, false)) {
        whole++;
    }
    assert_int_equal(streamed, 1 + 7 + 2); /* job, marks at 40, 80, …, entry, end of the job */
    assert_int_equal(whole, 3);
}

/* A replica dies, and who would settle for it does so at store call number `at`; false when it had
 * settled before. */
static bool heir_dies_at(uint32_t at)
{
    world_init(&world);
    struct replica *p = start(""), *heir = start("");
    (void)start("");
    client_ask(&client, p, true, NULL, "{}");
    assert_int_equal(client_generate(&client, 100), 100);
    replica_die(p);
    replica_fault(heir, FAULT_DEAD, at, UINT32_MAX);
    for (int i = 0; i < 20; i++) {
        world_pass(&world, 0.5);
        heir->is_dead = heir->store.n_calls > heir->fault_at;
    }
    is_billed(80);
    assert_int_equal(world_n_jobs(&world, "billing.open"), 0);
    bool died = heir->is_dead;
    client_forget(&client);
    world_finish(&world);
    return died;
}

static void a_death_of_who_settles_for_the_dead_delays_nothing_beyond_10_s(void **state)
{
    (void)state;
    uint32_t n = 0;
    while (heir_dies_at(n)) {
        n++;
    }
    assert_true(n > 10);
}

/* A call of who settles for a dead replica fails; false when there was none so late. */
static bool heir_fails_at(uint32_t at, enum fault fault)
{
    world_init(&world);
    struct replica *p = start(""), *heir = start(", backlog: 1");
    client_ask(&client, p, true, NULL, "{}");
    assert_int_equal(client_generate(&client, 100), 100);
    replica_die(p);
    client_forget(&client);
    replica_fault(heir, fault, at, 1);
    for (int i = 0; i < 12 && heir->store.n_calls <= heir->fault_at; i++) {
        world_pass(&world, 0.5);
    }
    bool failed = heir->store.n_calls > heir->fault_at;
    heir->n_faults = failed ? 1 : 0;
    /* Its backlog has room for its own: it takes requests. */
    client_ask(&client, heir, true, NULL, "{}");
    assert_int_equal(client.outcome, WEIR_PLUGIN_DONE);
    client_end(&client, 200);
    world_pass(&world, 10);
    world_read(&world, "acme", &ledger);
    assert_int_equal(ledger.delivered, 80);
    assert_int_equal(ledger.n_usage, 2);
    assert_int_equal(world_n_jobs(&world, "billing.open"), 0);
    world_finish(&world);
    return failed;
}

static void a_failure_of_who_settles_for_the_dead_takes_no_room_from_its_own(void **state)
{
    (void)state;
    for (int fault = FAULT_AWAY; fault <= FAULT_UNKNOWN; fault++) {
        uint32_t n = 0;
        while (heir_fails_at(n, (enum fault)fault)) {
            n++;
        }
        assert_true(n > 10);
    }
}

/* One call fails in one way; everything is well afterwards. */
static bool fail_at(uint32_t at, enum fault fault, bool stream, const char *mode)
{
    char more[64];
    (void)snprintf(more, sizeof(more), ", on_store_loss: %s", mode);
    world_init(&world);
    struct replica *p = start(more);
    replica_fault(p, fault, at, 1);
    client_ask(&client, p, stream, NULL, "{}");
    if (client.outcome == WEIR_PLUGIN_DONE) {
        while (client.n_out < 300) {
            if (client_generate(&client, 300 - client.n_out) == 0) {
                world_pass(&world, 1);
                assert_false(weir_plugin_run_is_paused(&client.request.run));
                client.n_out++; /* the chunk that was held */
                client.request.numbers[WEIR_NUMBER_OUTPUT_TOKENS] = (int64_t)client.n_out;
            }
        }
        client_end(&client, 200);
    } else {
        assert_int_equal(client.request.status, 503);
        client_end(&client, 503);
    }
    bool failed = p->store.n_calls > at;
    world_pass(&world, 10);
    is_billed((int64_t)client.n_received);
    assert_int_equal(ledger.n_usage, 1);
    assert_int_equal(world_n_jobs(&world, "billing.open"), 0);
    world_finish(&world);
    return failed;
}

static void a_failure_at_any_store_call_changes_no_sum(void **state)
{
    (void)state;
    static const char *const modes[] = {"deny", "local", "allow"};
    for (size_t mode = 0; mode < 3; mode++) {
        for (int fault = FAULT_LATE; fault <= FAULT_UNKNOWN; fault++) {
            for (uint32_t at = 0; fail_at(at, (enum fault)fault, true, modes[mode]); at++) {
            }
            for (uint32_t at = 0; fail_at(at, (enum fault)fault, false, modes[mode]); at++) {
            }
        }
    }
}

static void without_a_store_deny_refuses_and_stops_streams(void **state)
{
    (void)state;
    world_init(&world);
    struct replica *p = start("");
    client_ask(&client, p, true, NULL, "{}");
    assert_int_equal(client_generate(&client, 100), 100);
    replica_fault(p, FAULT_AWAY, 0, UINT32_MAX);
    assert_true(client_generate(&client, 500) <= 96);
    struct client second;
    client_ask(&second, p, true, NULL, "{}");
    assert_int_equal(second.outcome, WEIR_PLUGIN_ANSWERED);
    assert_int_equal(second.request.status, 503);
    assert_true(weir_str_is(second.request.code, "billing_unavailable"));
    client_end(&second, 503);

    world_pass(&world, 8);
    assert_int_equal(client.request.output, WEIR_PLUGIN_ANSWERED);
    assert_int_equal(client.request.status, 503);
    uint64_t received = client.n_received;
    client_end(&client, 0);
    replica_heal(p);
    world_pass(&world, 10);
    world_read(&world, "acme", &ledger);
    assert_int_equal(ledger.delivered, received);
    world_finish(&world);
}

static void without_a_store_local_and_allow_run_and_settle_later(void **state)
{
    (void)state;
    static const char *const modes[] = {", on_store_loss: local", ", on_store_loss: allow"};
    for (size_t i = 0; i < 2; i++) {
        world_init(&world);
        struct replica *p = start(modes[i]);
        replica_fault(p, FAULT_AWAY, 0, UINT32_MAX);
        for (int k = 0; k < 5; k++) {
            client_ask(&client, p, k % 2, NULL, "{}");
            assert_int_equal(client.outcome, WEIR_PLUGIN_DONE);
            assert_int_equal(client_generate(&client, 100), 100);
            client_end(&client, 200);
        }
        world_pass(&world, 30);
        world_read(&world, "acme", &ledger);
        assert_int_equal(ledger.n_usage, 0);
        replica_heal(p);
        world_pass(&world, 10);
        world_read(&world, "acme", &ledger);
        assert_int_equal(ledger.delivered, 500);
        assert_int_equal(ledger.n_usage, 5);
        world_finish(&world);
    }
}

static void a_full_backlog_refuses_or_loses_as_told(void **state)
{
    (void)state;
    world_init(&world);
    struct replica *p = start(", on_store_loss: local, backlog: 2");
    replica_fault(p, FAULT_AWAY, 0, UINT32_MAX);
    for (int k = 0; k < 3; k++) {
        client_ask(&client, p, false, NULL, "{}");
        assert_int_equal(client.outcome, k < 2 ? WEIR_PLUGIN_DONE : WEIR_PLUGIN_ANSWERED);
        if (k < 2) {
            assert_int_equal(client_generate(&client, 10), 10);
        }
        client_end(&client, k < 2 ? 200 : 503);
    }
    world_finish(&world);

    world_init(&world);
    p = start(", on_store_loss: allow, backlog: 2");
    replica_fault(p, FAULT_AWAY, 0, UINT32_MAX);
    for (int k = 0; k < 3; k++) {
        client_ask(&client, p, false, NULL, "{}");
        assert_int_equal(client.outcome, WEIR_PLUGIN_DONE);
        assert_int_equal(client_generate(&client, 10), 10);
        client_end(&client, 200);
    }
    replica_heal(p);
    world_pass(&world, 10);
    world_read(&world, "acme", &ledger);
    assert_int_equal(ledger.n_usage, 2);
    world_finish(&world);
}

static void a_running_request_is_not_reaped(void **state)
{
    (void)state;
    world_init(&world);
    struct replica *p = start("");
    (void)start("");
    client_ask(&client, p, true, NULL, "{}");
    assert_int_equal(client_generate(&client, 5), 5);
    world_pass(&world, 120); /* a long prompt, a slow client */
    is_billed(0);
    assert_int_equal(ledger.n_usage, 0);
    assert_int_equal(client_generate(&client, 5), 5);
    client_end(&client, 200);
    is_billed(10);
    assert_int_equal(ledger.n_adjustments, 0);
    world_finish(&world);
}

static void a_replica_that_was_only_slow_adds_what_is_missing(void **state)
{
    (void)state;
    world_init(&world);
    struct replica *p = start("");
    (void)start("");
    client_ask(&client, p, true, NULL, "{}");
    assert_int_equal(client_generate(&client, 100), 100);
    p->is_stuck = true;
    world_pass(&world, 10);
    is_billed(80); /* the last mark: at 40, then at 80 */
    assert_true(last_has("\"source\":\"reaper\""));
    p->is_stuck = false;
    assert_int_equal(client_generate(&client, 50), 50);
    client_end(&client, 200);
    is_billed(150);
    assert_int_equal(ledger.n_usage, 1);
    assert_int_equal(ledger.n_adjustments, 1);
    assert_int_equal(ledger.cached, 4);
    assert_int_equal(ledger.requests, 1);
    assert_int_equal(ledger.amount, 8 + 1 + 600 + 100);
    world_pass(&world, 20);
    is_billed(150);
    assert_int_equal(ledger.n_adjustments, 1);
    assert_int_equal(world_n_jobs(&world, "billing.open"), 0);
    world_finish(&world);
}

static void slow_and_then_dead_is_settled_up_to_the_last_mark(void **state)
{
    (void)state;
    world_init(&world);
    struct replica *p = start("");
    (void)start("");
    client_ask(&client, p, true, NULL, "{}");
    assert_int_equal(client_generate(&client, 40), 40);
    p->is_stuck = true;
    world_pass(&world, 10);
    is_billed(40);
    p->is_stuck = false;
    assert_int_equal(client_generate(&client, 200), 200);
    replica_die(p);
    world_pass(&world, 10);
    world_read(&world, "acme", &ledger);
    assert_true(ledger.delivered <= 240 && ledger.delivered >= 240 - 64);
    assert_int_equal(ledger.n_usage, 1);
    assert_int_equal(ledger.n_adjustments, 1);
    client_forget(&client);
    world_finish(&world);
}

static void requests_of_the_model_without_a_price_are_recorded(void **state)
{
    (void)state;
    world_init(&world);
    client_ask(&client, world_start(&world, "{}"), true, NULL, "{}");
    assert_int_equal(client_generate(&client, 3), 3);
    client_end(&client, 200);
    is_billed(3);
    assert_int_equal(ledger.amount, 0);
    assert_true(last_has("\"price\":null"));
    world_finish(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_finished_request_is_one_entry_with_its_price),
        cmocka_unit_test(a_client_that_leaves_pays_for_what_it_got),
        cmocka_unit_test(nothing_delivered_costs_nothing),
        cmocka_unit_test(output_waits_for_the_job_and_for_marks),
        cmocka_unit_test(a_large_chunk_goes_out_when_all_before_is_marked),
        cmocka_unit_test(a_death_at_any_store_call_bills_the_last_mark_within_10_s),
        cmocka_unit_test(a_death_of_who_settles_for_the_dead_delays_nothing_beyond_10_s),
        cmocka_unit_test(a_failure_of_who_settles_for_the_dead_takes_no_room_from_its_own),
        cmocka_unit_test(a_failure_at_any_store_call_changes_no_sum),
        cmocka_unit_test(without_a_store_deny_refuses_and_stops_streams),
        cmocka_unit_test(without_a_store_local_and_allow_run_and_settle_later),
        cmocka_unit_test(a_full_backlog_refuses_or_loses_as_told),
        cmocka_unit_test(a_running_request_is_not_reaped),
        cmocka_unit_test(a_replica_that_was_only_slow_adds_what_is_missing),
        cmocka_unit_test(slow_and_then_dead_is_settled_up_to_the_last_mark),
        cmocka_unit_test(requests_of_the_model_without_a_price_are_recorded),
    };
    return cmocka_run_group_tests(tests, make_book, remove_book);
}
