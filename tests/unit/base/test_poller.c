/* SPDX-License-Identifier: Apache-2.0 */
#include "base/poller.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/support/cmocka.h"

enum { GUARD_MS = 10000, N_MEMBERS = 4 };

/* A loop with a shared poller; members are eventfds that the test writes to. */
struct member {
    struct weir_poller_member member;
    struct fixture *f;
    int fd;
    uint32_t n_ready;
    struct member *removes; /* when it is told */
};

struct fixture {
    uv_loop_t loop;
    uv_timer_t guard;
    uv_prepare_t prepare;
    uv_idle_t idle;
    uv_async_t async;
    struct weir_poller poller;
    struct member members[N_MEMBERS];
    bool is_done;       /* stops the run */
    bool wants_prepare; /* an event left work for it */
    uint32_t n_turns, n_prepared;
    bool guard_fired;
};

static void on_ready(struct weir_poller_member *member, uint32_t what)
{
    struct member *m = (struct member *)member;
    uint64_t count;
    assert_true(what & EPOLLIN);
    assert_int_equal(read(m->fd, &count, sizeof(count)), sizeof(count));
    m->n_ready++;
    if (m->removes) {
        weir_poller_remove(&m->f->poller, m->removes->fd, &m->removes->member);
    }
}

static void on_guard(uv_timer_t *guard)
{
    struct fixture *f = guard->data;
    f->guard_fired = f->is_done = true;
}

static int start(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    *state = &f;
    if (uv_loop_init(&f.loop) < 0 || uv_timer_init(&f.loop, &f.guard) < 0 ||
        uv_prepare_init(&f.loop, &f.prepare) < 0 || uv_idle_init(&f.loop, &f.idle) < 0 ||
        weir_poller_open(&f.poller, &f.loop) < 0) {
        return -1;
    }
    f.guard.data = f.prepare.data = &f;
    weir_poller_share(&f.poller);
    for (size_t i = 0; i < N_MEMBERS; i++) {
        struct member *m = &f.members[i];
        *m = (struct member){
            .member = {on_ready, sizeof(*m)}, .f = &f, .fd = eventfd(0, EFD_NONBLOCK)};
        if (weir_poller_add(&f.poller, m->fd, EPOLLIN | EPOLLET, &m->member) < 0) {
            return -1;
        }
    }
    return uv_timer_start(&f.guard, on_guard, GUARD_MS, 0);
}

static int finish(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < N_MEMBERS; i++) {
        weir_poller_remove(&f->poller, f->members[i].fd, &f->members[i].member);
        (void)close(f->members[i].fd);
    }
    weir_poller_close(&f->poller, NULL);
    uv_close((uv_handle_t *)&f->guard, NULL);
    uv_close((uv_handle_t *)&f->prepare, NULL);
    uv_close((uv_handle_t *)&f->idle, NULL);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    return f->guard_fired || weir_poller_of(&f->loop) ? -1 : uv_loop_close(&f->loop);
}

static void put(const struct member *m)
{
    assert_int_equal(eventfd_write(m->fd, 1), 0);
}

static void on_turned(void *user)
{
    struct fixture *f = user;
    f->n_turns++;
    if (f->is_done) {
        weir_poller_stop(&f->poller);
    }
}

static void stop_at_once(void *user)
{
    struct fixture *f = user;
    f->n_turns++;
    weir_poller_stop(&f->poller);
}

static void members_are_told_whoever_waits(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 1; i <= 3; i++) { /* libuv, the poller, libuv again */
        put(&f->members[0]);
        if (i == 2) {
            weir_poller_run(&f->poller, stop_at_once, f);
        } else {
            (void)uv_run(&f->loop, UV_RUN_ONCE);
        }
        assert_int_equal(f->members[0].n_ready, i);
    }
    assert_int_equal(f->members[1].n_ready, 0);
}

static void a_batch_is_told_whole(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < N_MEMBERS; i++) {
        put(&f->members[i]);
    }
    weir_poller_run(&f->poller, stop_at_once, f);
    for (size_t i = 0; i < N_MEMBERS; i++) {
        assert_int_equal(f->members[i].n_ready, 1);
    }
}

static void one_that_is_removed_in_a_batch_hears_nothing_of_it(void **state)
{
    struct fixture *f = *state;
    f->members[0].removes = &f->members[2];
    for (size_t i = 0; i < N_MEMBERS; i++) { /* epoll tells them in this order */
        put(&f->members[i]);
    }
    weir_poller_run(&f->poller, stop_at_once, f);
    assert_int_equal(f->members[1].n_ready, 1);
    assert_int_equal(f->members[2].n_ready, 0);
    assert_int_equal(f->members[3].n_ready, 1);
}

static void on_done(uv_timer_t *timer)
{
    struct fixture *f = timer->data;
    f->is_done = true;
}

static void timers_are_on_time(void **state)
{
    struct fixture *f = *state;
    uint64_t begin_ms = uv_now(&f->loop);
    (void)uv_timer_start(&f->guard, on_done, 20, 0);
    weir_poller_run(&f->poller, on_turned, f);
    assert_true(uv_now(&f->loop) - begin_ms >= 20);
    assert_true(f->n_turns <= 3); /* it slept */
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle;
}

/* As those do who write at the end of a turn what the turn has made. */
static void on_prepare(uv_prepare_t *prepare)
{
    struct fixture *f = prepare->data;
    if (f->wants_prepare) {
        f->n_prepared++;
        f->is_done = true;
        (void)uv_idle_stop(&f->idle);
    }
}

static void on_async(uv_async_t *async)
{
    struct fixture *f = async->data;
    f->wants_prepare = true;
    (void)uv_idle_start(&f->idle, on_idle);
    uv_close((uv_handle_t *)async, NULL);
}

static void what_an_event_of_libuv_leaves_is_done_before_the_sleep(void **state)
{
    struct fixture *f = *state;
    (void)uv_prepare_start(&f->prepare, on_prepare);
    (void)uv_async_init(&f->loop, &f->async, on_async);
    f->async.data = f;
    (void)uv_async_send(&f->async);
    weir_poller_run(&f->poller, on_turned, f);
    assert_int_equal(f->n_prepared, 1);
    assert_false(f->guard_fired);
}

/* A descriptor that libuv began to watch in the turn's last callbacks is not slept over. */
static void on_pipe(uv_poll_t *poll, int status, int what)
{
    struct fixture *f = poll->data;
    assert_int_equal(status, 0);
    assert_int_equal(what, UV_READABLE);
    f->is_done = true;
    uv_close((uv_handle_t *)poll, NULL);
}

static uv_poll_t late;

static void on_async_begin(uv_async_t *async)
{
    struct fixture *f = async->data;
    (void)uv_poll_init(&f->loop, &late, f->members[3].fd);
    late.data = f;
    (void)uv_poll_start(&late, UV_READABLE, on_pipe);
    uv_close((uv_handle_t *)async, NULL);
}

static void what_libuv_begins_to_watch_late_is_watched(void **state)
{
    struct fixture *f = *state;
    weir_poller_remove(&f->poller, f->members[3].fd, &f->members[3].member);
    put(&f->members[3]);
    (void)uv_async_init(&f->loop, &f->async, on_async_begin);
    f->async.data = f;
    (void)uv_async_send(&f->async);
    weir_poller_run(&f->poller, on_turned, f);
    assert_true(f->is_done && !f->guard_fired);
}

static void the_run_ends_when_nothing_is_left(void **state)
{
    struct fixture *f = *state;
    (void)uv_timer_stop(&f->guard);
    weir_poller_run(&f->poller, on_turned, f);
    assert_int_equal(f->n_turns, 0);
}

static void on_release(struct weir_poller_member *member, uint32_t what)
{
    struct member *m = (struct member *)member;
    (void)what;
    weir_poller_release(&m->f->poller);
}

static void what_is_held_keeps_the_run_going(void **state)
{
    struct fixture *f = *state;
    (void)uv_timer_stop(&f->guard);
    weir_poller_hold(&f->poller);
    f->members[0].member.ready = on_release;
    put(&f->members[0]);
    weir_poller_run(&f->poller, on_turned, f);
    assert_int_equal(f->n_turns, 1);
}

static void another_layout_is_not_taken(void **state)
{
    struct fixture *f = *state;
    assert_ptr_equal(weir_poller_of(&f->loop), &f->poller);
    f->poller.layout ^= 1;
    assert_null(weir_poller_of(&f->loop));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(members_are_told_whoever_waits),
        TEST(a_batch_is_told_whole),
        TEST(one_that_is_removed_in_a_batch_hears_nothing_of_it),
        TEST(timers_are_on_time),
        TEST(what_an_event_of_libuv_leaves_is_done_before_the_sleep),
        TEST(what_libuv_begins_to_watch_late_is_watched),
        TEST(the_run_ends_when_nothing_is_left),
        TEST(what_is_held_keeps_the_run_going),
        TEST(another_layout_is_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
