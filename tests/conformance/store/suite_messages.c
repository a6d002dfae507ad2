/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fixture.h"

struct ear {
    int heard, lost;
    int enough; /* set when `heard` has reached `wanted` */
    int wanted;
    char last[64];
    struct weir_store_subscription *subscription;
    bool stop_at_first;
};

static void on_message(void *arg, weir_str message, int lost)
{
    struct ear *e = arg;
    if (lost) {
        e->lost++;
        return;
    }
    e->heard++;
    size_t n = message.n < sizeof(e->last) - 1 ? message.n : sizeof(e->last) - 1;
    if (n) {
        memcpy(e->last, message.p, n);
    }
    e->last[n] = '\0';
    e->enough = e->heard >= e->wanted;
    if (e->stop_at_first) {
        weir_store_unsubscribe(fixture_store, e->subscription);
    }
}

static void subscribe(struct ear *e, const char *channel)
{
    assert_int_equal(
        weir_store_subscribe(fixture_store, text(channel), on_message, e, &e->subscription), 0);
}

#define PUBLISH(c, m) CALL(.op = WEIR_STORE_PUBLISH, .key = text(c), .value = text(m))

static void hear(struct ear *e, int n)
{
    e->wanted = n;
    e->enough = e->heard >= n;
    if (!e->enough) {
        fixture_run_until(&e->enough);
    }
    assert_int_equal(e->heard, n);
}

/* Until the subscription has reached a server, a message may be missed. */
static void settle(struct ear *e, const char *channel)
{
    for (int i = 0; i < 50 && e->heard == 0; i++) {
        assert_int_equal(PUBLISH(channel, "settle")->rc, 0);
        weir_store_turn(fixture_store);
        if (e->heard == 0) {
            fixture_advance(10000);
            (void)CALL(.op = WEIR_STORE_GET, .key = text("any")); /* lets the loop turn */
            weir_store_turn(fixture_store);
        }
    }
    assert_true(e->heard > 0);
    fixture_advance(20000);
    (void)CALL(.op = WEIR_STORE_GET, .key = text("any"));
    weir_store_turn(fixture_store);
    e->heard = e->lost = 0;
}

static void a_message_reaches_every_subscriber_of_its_channel(void **state)
{
    (void)state;
    struct ear one = {0}, two = {0}, elsewhere = {0};
    assert_int_equal(PUBLISH("keys", "nobody listens")->rc, 0);
    subscribe(&one, "keys");
    subscribe(&elsewhere, "policies");
    settle(&one, "keys");
    settle(&elsewhere, "policies");
    subscribe(&two, "keys");
    assert_int_equal(PUBLISH("keys", "k1")->rc, 0);
    hear(&one, 1);
    hear(&two, 1);
    assert_string_equal(one.last, "k1");
    assert_string_equal(two.last, "k1");
    assert_int_equal(elsewhere.heard, 0);
    weir_store_unsubscribe(fixture_store, one.subscription);
    assert_int_equal(PUBLISH("keys", "")->rc, 0);
    hear(&two, 2);
    assert_string_equal(two.last, "");
    assert_int_equal(one.heard, 1);
    assert_int_equal(PUBLISH("policies", "p")->rc, 0);
    hear(&elsewhere, 1);
}

static void messages_come_in_order(void **state)
{
    (void)state;
    struct ear e = {0};
    subscribe(&e, "c");
    settle(&e, "c");
    for (int i = 1; i <= 100; i++) {
        char message[16];
        (void)snprintf(message, sizeof(message), "%d", i);
        assert_int_equal(PUBLISH("c", message)->rc, 0);
        hear(&e, i);
        assert_string_equal(e.last, message);
    }
    assert_int_equal(e.lost, 0);
}

static void a_subscriber_may_leave_while_it_is_told(void **state)
{
    (void)state;
    struct ear leaves = {.stop_at_first = false}, stays = {0};
    subscribe(&leaves, "c");
    subscribe(&stays, "c");
    settle(&stays, "c");
    leaves.heard = 0;
    leaves.stop_at_first = true;
    assert_int_equal(PUBLISH("c", "one")->rc, 0);
    hear(&stays, 1);
    assert_int_equal(PUBLISH("c", "two")->rc, 0);
    hear(&stays, 2);
    assert_int_equal(leaves.heard, 1);
}

static void channels_out_of_bounds_are_refused(void **state)
{
    (void)state;
    struct weir_store_subscription *s = NULL;
    assert_int_equal(weir_store_subscribe(fixture_store, text(""), on_message, NULL, &s),
                     WEIR_E_ARG);
    assert_int_equal(weir_store_subscribe(fixture_store, text("c"), NULL, NULL, &s), WEIR_E_ARG);
    assert_int_equal(REFUSAL(.op = WEIR_STORE_PUBLISH), WEIR_E_ARG);
}

int suite_messages(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_message_reaches_every_subscriber_of_its_channel),
        TEST(messages_come_in_order),
        TEST(a_subscriber_may_leave_while_it_is_told),
        TEST(channels_out_of_bounds_are_refused),
    };
    return cmocka_run_group_tests_name("store: messages", tests, NULL, NULL);
}
