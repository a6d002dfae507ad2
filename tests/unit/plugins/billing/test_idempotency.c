/* SPDX-License-Identifier: Apache-2.0 */
/* Idempotency-Key: one bill for however many tries. */
#include "replica.h"
#include "tests/support/cmocka.h"

static struct world world;
static struct replica *replica;
static struct client client;
static struct ledger ledger;

static const char body[] = "{\"messages\":[]}";

static void begin(const char *config)
{
    world_init(&world);
    replica = world_start(&world, config);
}

static void ask(struct client *c, const char *key, const char *text)
{
    client_ask(c, replica, true, key, text);
}

static void run(struct client *c, uint64_t n_tokens)
{
    assert_int_equal(c->outcome, WEIR_PLUGIN_DONE);
    assert_int_equal(client_generate(c, n_tokens), n_tokens);
    client_end(c, 200);
}

static void is_refused(struct client *c, int status, const char *code)
{
    assert_int_equal(c->outcome, WEIR_PLUGIN_ANSWERED);
    assert_int_equal(c->request.status, status);
    if (!weir_str_is(c->request.code, code)) {
        fail_msg("%.*s", (int)c->request.code.n, c->request.code.p);
    }
    client_end(c, (uint32_t)status);
}

static bool is_replay(const struct client *c)
{
    return weir_str_is(weir_kit_request_sent(&c->request, "x-weir-idempotent-replay"), "true");
}

static void while_one_runs_another_is_409(void **state)
{
    (void)state;
    begin("{}");
    ask(&client, "k1", body);
    assert_int_equal(client.outcome, WEIR_PLUGIN_DONE);
    struct client second, other_key, no_key;
    ask(&second, "k1", body);
    is_refused(&second, 409, "idempotency_key_in_use");
    ask(&other_key, "k2", body);
    run(&other_key, 1);
    ask(&no_key, NULL, body);
    run(&no_key, 1);
    run(&client, 1);
    world_read(&world, "acme", &ledger);
    assert_int_equal(ledger.n_usage, 3);
    world_finish(&world);
}

static void a_second_run_costs_only_what_it_delivers_more(void **state)
{
    (void)state;
    begin("{}");
    ask(&client, "k", body);
    assert_false(is_replay(&client));
    run(&client, 100);
    ask(&client, "k", body);
    assert_true(is_replay(&client));
    run(&client, 80);
    world_read(&world, "acme", &ledger);
    assert_int_equal(ledger.delivered, 100);
    assert_int_equal(ledger.n_usage, 1);
    assert_int_equal(ledger.n_adjustments, 0);
    assert_non_null(strstr(ledger.last, "\"idempotency_key\":\"k\""));

    ask(&client, "k", body);
    run(&client, 130);
    world_read(&world, "acme", &ledger);
    assert_int_equal(ledger.delivered, 130);
    assert_int_equal(ledger.requests, 1);
    assert_int_equal(ledger.prompt, 12);
    assert_int_equal(ledger.n_adjustments, 1);
    assert_int_equal(world_n_jobs(&world, "billing.open"), 0);
    world_finish(&world);
}

static void another_body_is_422(void **state)
{
    (void)state;
    begin("{}");
    ask(&client, "k", body);
    run(&client, 1);
    ask(&client, "k", "{\"messages\":[ ]}");
    is_refused(&client, 422, "idempotency_key_reused");
    world_finish(&world);
}

static void runs_again_only_so_often(void **state)
{
    (void)state;
    begin("{replays: 1}");
    ask(&client, "k", body);
    run(&client, 1);
    ask(&client, "k", body);
    run(&client, 1);
    ask(&client, "k", body);
    is_refused(&client, 409, "idempotency_key_used");
    world_finish(&world);
}

static void a_key_is_free_after_24_hours(void **state)
{
    (void)state;
    begin("{replays: 0}");
    ask(&client, "k", body);
    run(&client, 1);
    assert_int_equal(world_n_jobs(&world, "billing.expired"), 1);
    world_finish(&world);

    begin("{replays: 0}");
    ask(&client, "k", body);
    run(&client, 1);
    world_pass(&world, 24 * 3600 - 5);
    ask(&client, "k", body);
    is_refused(&client, 409, "idempotency_key_used");
    world_pass(&world, 10);
    ask(&client, "k", "{\"other\":1}");
    run(&client, 2);
    world_read(&world, "acme", &ledger);
    assert_int_equal(ledger.n_usage, 2);
    world_pass(&world, 25 * 3600);
    assert_int_equal(world_n_jobs(&world, "billing.expired"), 0);
    world_finish(&world);
}

static void a_dead_replica_gives_its_keys_back(void **state)
{
    (void)state;
    begin("{}");
    ask(&client, "k", body);
    assert_int_equal(client_generate(&client, 100), 100);
    replica_die(replica);
    struct client again;
    replica = world_start(&world, "{}");
    ask(&again, "k", body);
    is_refused(&again, 409, "idempotency_key_in_use");
    world_pass(&world, 10);
    ask(&again, "k", body);
    run(&again, 300);
    world_read(&world, "acme", &ledger);
    assert_int_equal(ledger.delivered, 300);
    assert_int_equal(ledger.n_usage, 1);
    client_forget(&client);
    world_finish(&world);
}

static void a_client_that_leaves_gives_its_key_back(void **state)
{
    (void)state;
    begin("{}");
    ask(&client, "k", body);
    assert_int_equal(client_generate(&client, 10), 10);
    client_end(&client, 0);
    ask(&client, "k", body);
    run(&client, 20);
    world_read(&world, "acme", &ledger);
    assert_int_equal(ledger.delivered, 20);
    world_finish(&world);
}

/* The client leaves while the store is asked: at the first and at the second question. */
static void leaving_during_the_check_leaves_nothing(void **state)
{
    (void)state;
    for (uint32_t at = 0; at < 4; at++) {
        begin("{}");
        replica_fault(replica, FAULT_LATE, at, 1);
        replica->keeps_answers = true;
        assert_int_equal(weir_kit_request_init(&client.request, body), 0);
        weir_kit_request_field(&client.request, WEIR_FIELD_TENANT, "acme");
        weir_kit_request_header(&client.request, "Idempotency-Key", "k");
        struct weir_plugin_chain *chain = weir_plugins_chain(replica->stage.plugins);
        assert_int_equal(weir_kit_request_begin(&client.request, chain, replica->stage.loop), 0);
        weir_plugin_chain_unref(chain);
        (void)weir_plugin_run_phase(&client.request.run, WEIR_PHASE_HEADERS);
        (void)weir_plugin_run_phase(&client.request.run, WEIR_PHASE_BODY);
        weir_kit_request_finish(&client.request); /* it leaves */
        replica_heal(replica);
        world_pass(&world, 12);
        ask(&client, "k", body);
        run(&client, 5);
        world_read(&world, "acme", &ledger);
        assert_int_equal(ledger.delivered, 5);
        world_finish(&world);
    }
}

static void late_answers_change_nothing(void **state)
{
    (void)state;
    begin("{}");
    replica_fault(replica, FAULT_LATE, 0, UINT32_MAX);
    ask(&client, "k", body);
    run(&client, 50);
    ask(&client, "k", "{}");
    is_refused(&client, 422, "idempotency_key_reused");
    world_read(&world, "acme", &ledger);
    assert_int_equal(ledger.delivered, 50);
    world_finish(&world);
}

static void without_a_store_deny_refuses_and_others_go_on(void **state)
{
    (void)state;
    begin("{}");
    replica_fault(replica, FAULT_AWAY, 0, UINT32_MAX);
    ask(&client, "k", body);
    is_refused(&client, 503, "billing_unavailable");
    world_finish(&world);

    begin("{on_store_loss: local}");
    replica_fault(replica, FAULT_AWAY, 0, UINT32_MAX);
    ask(&client, "k", body);
    run(&client, 7);
    replica_heal(replica);
    world_pass(&world, 10);
    world_read(&world, "acme", &ledger);
    assert_int_equal(ledger.delivered, 7);
    world_finish(&world);
}

/* Every call fails once, in every way: the key stays usable, and the sum right. */
static bool fail_at(uint32_t at, enum fault fault)
{
    begin("{replays: 100}");
    replica_fault(replica, fault, at, 1);
    ask(&client, "k", body);
    uint64_t most = 0;
    if (client.outcome == WEIR_PLUGIN_DONE) {
        assert_true(client_generate(&client, 30) > 0 || fault != FAULT_NONE);
        client_end(&client, 200);
        most = client.n_received;
    } else {
        client_end(&client, 503);
    }
    bool failed = replica->store.n_calls > at;
    replica_heal(replica);
    world_pass(&world, 12);
    ask(&client, "k", body);
    run(&client, 40);
    assert_true(most <= 40);
    world_read(&world, "acme", &ledger);
    assert_int_equal(ledger.delivered, 40);
    assert_int_equal(ledger.n_usage, 1);
    assert_int_equal(world_n_jobs(&world, "billing.open"), 0);
    world_finish(&world);
    return failed;
}

static void a_failure_at_any_store_call_leaves_the_key_usable(void **state)
{
    (void)state;
    for (int fault = FAULT_LATE; fault <= FAULT_UNKNOWN; fault++) {
        for (uint32_t at = 0; fail_at(at, (enum fault)fault); at++) {
        }
    }
}

static void a_key_of_the_wrong_length_is_400(void **state)
{
    (void)state;
    char key[300];
    memset(key, 'k', sizeof(key) - 1);
    key[sizeof(key) - 1] = '\0';
    begin("{}");
    ask(&client, key, body);
    is_refused(&client, 400, "invalid_idempotency_key");
    ask(&client, "", body);
    is_refused(&client, 400, "invalid_idempotency_key");
    world_finish(&world);
}

static void switched_off_it_means_nothing(void **state)
{
    (void)state;
    begin("{idempotency: false}");
    ask(&client, "k", body);
    struct client second;
    ask(&second, "k", "{}");
    run(&second, 1);
    run(&client, 1);
    world_read(&world, "acme", &ledger);
    assert_int_equal(ledger.n_usage, 2);
    world_finish(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(while_one_runs_another_is_409),
        cmocka_unit_test(a_second_run_costs_only_what_it_delivers_more),
        cmocka_unit_test(another_body_is_422),
        cmocka_unit_test(runs_again_only_so_often),
        cmocka_unit_test(a_key_is_free_after_24_hours),
        cmocka_unit_test(a_dead_replica_gives_its_keys_back),
        cmocka_unit_test(a_client_that_leaves_gives_its_key_back),
        cmocka_unit_test(leaving_during_the_check_leaves_nothing),
        cmocka_unit_test(late_answers_change_nothing),
        cmocka_unit_test(without_a_store_deny_refuses_and_others_go_on),
        cmocka_unit_test(a_failure_at_any_store_call_leaves_the_key_usable),
        cmocka_unit_test(a_key_of_the_wrong_length_is_400),
        cmocka_unit_test(switched_off_it_means_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
