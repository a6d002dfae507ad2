/* SPDX-License-Identifier: Apache-2.0 */
#include "core/target/target.h"

#include "tests/support/cmocka.h"

/* A stream backend that does nothing by itself; the test plays its part through the sink. */
struct fake {
    const weir_sink *sink;
    bool closed;
};

static int fake_open(void *arg, const weir_sink *sink, void **ret_impl, struct weir_error *err)
{
    (void)err;
    struct fake *f = arg;
    f->sink = sink;
    *ret_impl = f;
    return 0;
}

static int refuse_open(void *arg, const weir_sink *sink, void **ret_impl, struct weir_error *err)
{
    (void)arg, (void)sink, (void)ret_impl;
    return weir_error_set(err, WEIR_E_DEVICE, "no device");
}

static void fake_close(void *target)
{
    ((struct fake *)target)->closed = true;
}

static const weir_backend_stream backend = {.struct_size = sizeof(backend), .close = fake_close};

static void changed(void *arg, struct weir_target *target)
{
    (void)arg, (void)target;
}

static struct weir_target_config config_of(struct fake *fake)
{
    return (struct weir_target_config){.name = "m/0",
                                       .backend = &backend,
                                       .open = fake_open,
                                       .open_arg = fake,
                                       .weight = 1,
                                       .max_flows = 2,
                                       .changed = changed};
}

static void nothing(struct weir_inbox_item *item)
{
    (void)item;
}

static void stale_tickets_reach_nobody(void **state)
{
    (void)state;
    struct fake fake = {0};
    struct weir_target_config config = config_of(&fake);
    struct weir_target *t = NULL;
    struct weir_error err = {0};
    assert_int_equal(weir_target_create(&config, &t, &err), 0);
    uv_loop_t loop;
    struct weir_inbox inbox;
    struct weir_inbox_item item = {.run = nothing};
    struct weir_flow flow;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(weir_inbox_init(&inbox, &loop), 0);
    assert_int_equal(weir_flow_init(&flow, &inbox, &item, NULL), 0);

    weir_ticket first = weir_target_begin(t, &flow), second = weir_target_begin(t, &flow);
    assert_true(first && second && first != second);
    assert_int_equal(weir_target_begin(t, &flow), 0);

    weir_chunk chunk = {.struct_size = sizeof(chunk), .kind = WEIR_CHUNK_TEXT};
    weir_outcome outcome = {.struct_size = sizeof(outcome)};
    assert_int_equal(fake.sink->push(fake.sink, first, &chunk), 0);
    fake.sink->finish(fake.sink, first, &outcome);
    assert_int_equal(fake.sink->push(fake.sink, first, &chunk), WEIR_E_GONE);
    assert_int_equal(fake.sink->push(fake.sink, 0, &chunk), WEIR_E_GONE);
    assert_int_equal(fake.sink->push(fake.sink, UINT64_MAX, &chunk), WEIR_E_GONE);
    weir_ticket third = weir_target_begin(t, &flow);
    assert_true(third && third != first);
    weir_target_forget(t, third);
    weir_target_forget(t, second);

    weir_flow_finish(&flow);
    weir_inbox_finish(&inbox);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    weir_target_destroy(t);
    assert_true(fake.closed);
}

static void failed_open_says_why(void **state)
{
    (void)state;
    struct fake fake = {0};
    struct weir_target_config config = config_of(&fake);
    config.open = refuse_open;
    struct weir_target *t = NULL;
    struct weir_error err = {0};
    assert_int_equal(weir_target_create(&config, &t, &err), WEIR_E_DEVICE);
    assert_null(t);
    assert_string_equal(err.message, "target m/0: no device");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stale_tickets_reach_nobody),
        cmocka_unit_test(failed_open_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
