/* SPDX-License-Identifier: Apache-2.0 */
#include "redis_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "tests/support/cmocka.h"

uint64_t redis_store_now_us(void)
{
    return weir_clock_mono_us();
}

struct weir_store_redis_options redis_store_options(const char *url)
{
    struct weir_store_redis_options o = {
        .timeout_ms = 10000, .n_connections = 2, .max_in_flight = 1000, .prefix = "weir"};
    struct weir_error err = {0};
    if (weir_store_url_parse(url, &o.url, &err) < 0) {
        fail_msg("%s", err.message);
    }
    return o;
}

static void take_notice(void *arg, bool is_bad, const char *text)
{
    struct redis_store *s = arg;
    size_t n = strlen(s->notices);
    (void)snprintf(s->notices + n, sizeof(s->notices) - n, "%s%s\n", is_bad ? "! " : "", text);
    s->n_notices++;
}

void redis_store_open(struct redis_store *s, const struct weir_store_redis_options *options)
{
    *s = (struct redis_store){0};
    (void)signal(SIGPIPE,
                 SIG_IGN); /* as the daemon does: a server may be gone when it is written to */
    struct weir_store_redis_options o = *options;
    o.notice = take_notice;
    o.notice_arg = s;
    struct weir_error err = {0};
    assert_int_equal(uv_loop_init(&s->loop), 0);
    if (weir_store_redis_create(&o, &s->store, &err) < 0) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(weir_store_attach(s->store, &s->loop, true), 0);
}

static void on_step(uv_timer_t *timer)
{
    (void)timer;
}

void redis_store_run(struct redis_store *s, uint64_t ms, const int *done)
{
    uint64_t end_us = weir_clock_mono_us() + ms * 1000;
    uv_timer_t step; /* so that a turn takes 5 ms at most */
    (void)uv_timer_init(&s->loop, &step);
    (void)uv_timer_start(&step, on_step, 1, 5);
    while (weir_clock_mono_us() < end_us && !(done && *done)) {
        (void)uv_run(&s->loop, UV_RUN_ONCE);
        weir_store_turn(s->store);
    }
    uv_close((uv_handle_t *)&step, NULL);
    (void)uv_run(&s->loop, UV_RUN_NOWAIT);
}

void redis_store_close(struct redis_store *s)
{
    uint64_t end_us = weir_clock_mono_us() + 5000000;
    while (!weir_store_detach(s->store, weir_clock_mono_us() > end_us)) {
        redis_store_run(s, 10, NULL);
    }
    (void)uv_run(&s->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&s->loop), 0);
    weir_store_destroy(s->store);
}

void redis_store_wait(struct redis_store *s, bool is_up)
{
    uint64_t end_us = weir_clock_mono_us() + 20000000;
    while (weir_store_is_up(s->store) != is_up) {
        if (weir_clock_mono_us() > end_us) {
            fail_msg("the store does not become %s: %s", is_up ? "usable" : "unusable", s->notices);
        }
        redis_store_run(s, 10, NULL);
    }
}

struct once {
    int done, rc;
    int64_t number;
};

static void on_done(void *arg, const weir_store_result *r)
{
    struct once *o = arg;
    o->done++;
    o->rc = r->rc;
    o->number = r->number;
}

int redis_store_call(struct redis_store *s, const struct weir_store_call *call, int64_t *ret_number)
{
    struct once o = {0};
    assert_int_equal(weir_store_call(s->store, call, on_done, &o), 0);
    redis_store_run(s, 30000, &o.done);
    assert_int_equal(o.done, 1);
    if (ret_number) {
        *ret_number = o.number;
    }
    return o.rc;
}

int redis_store_set(struct redis_store *s, const char *key, const char *value)
{
    return redis_store_call(s,
                            &(struct weir_store_call){.op = WEIR_STORE_SET,
                                                      .tenant = WEIR_STR_INIT("acme"),
                                                      .key = weir_str_from(key),
                                                      .value = weir_str_from(value)},
                            NULL);
}

int redis_store_get(struct redis_store *s, const char *key)
{
    return redis_store_call(s,
                            &(struct weir_store_call){.op = WEIR_STORE_GET,
                                                      .tenant = WEIR_STR_INIT("acme"),
                                                      .key = weir_str_from(key)},
                            NULL);
}
