/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sockets.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/cmocka.h"

enum { GUARD_MS = 10000, SHORT_BYTES = 100, LONG_BYTES = 600 * 1024 };

/* Two sockets of one set on a loop, each with a peer that the test drives by hand. */
struct end {
    struct weir_socket socket;
    struct fixture *f;
    int peer;
    struct weir_buf got;
    size_t n_bytes;
    uint32_t n_inputs, n_ends, n_writable, n_closed;
    int status; /* of the end */
    bool closes_other;
};

struct fixture {
    uv_loop_t loop;
    uv_timer_t guard;
    struct weir_poller poller; /* shared, where is_run */
    uv_idle_t idle;
    struct weir_sockets set;
    struct end ends[2];
    bool is_run; /* the thread waits in the poller */
    bool is_closed, guard_fired;
};

static struct end *end_of(struct weir_socket *s)
{
    return (struct end *)((char *)s - offsetof(struct end, socket));
}

static void on_input(struct weir_socket *s, const char *bytes, size_t n)
{
    struct end *e = end_of(s);
    e->n_inputs++;
    e->n_bytes += n;
    weir_buf_add(&e->got, bytes, n < SHORT_BYTES ? n : 0);
    if (e->closes_other) {
        weir_socket_close(&e->f->ends[e == &e->f->ends[0]].socket);
    }
}

static void on_end(struct weir_socket *s, int status)
{
    end_of(s)->n_ends++;
    end_of(s)->status = status;
}

static void on_writable(struct weir_socket *s)
{
    end_of(s)->n_writable++;
}

static void on_closed(struct weir_socket *s)
{
    end_of(s)->n_closed++;
}

static const struct weir_socket_events events = {on_input, on_end, on_writable, on_closed};

static void on_guard(uv_timer_t *guard)
{
    struct fixture *f = guard->data;
    f->guard_fired = true;
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle;
}

static int start(void **state, bool is_run)
{
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    f.is_run = is_run;
    *state = &f;
    if (uv_loop_init(&f.loop) < 0 || uv_timer_init(&f.loop, &f.guard) < 0 ||
        uv_idle_init(&f.loop, &f.idle) < 0) {
        return -1;
    }
    if (is_run) {
        if (weir_poller_open(&f.poller, &f.loop) < 0) {
            return -1;
        }
        weir_poller_share(&f.poller);
    }
    if (weir_sockets_open(&f.set, &f.loop, sizeof(struct weir_socket)) < 0) {
        return -1;
    }
    f.guard.data = &f;
    for (size_t i = 0; i < 2; i++) {
        struct end *e = &f.ends[i];
        int pair[2];
        weir_buf_init(&e->got, 10 * SHORT_BYTES);
        e->f = &f;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) < 0 ||
            weir_socket_open(&e->socket, &f.set, pair[0], &events) < 0) {
            return -1;
        }
        e->peer = pair[1];
        weir_socket_set_reading(&e->socket, true);
    }
    return uv_timer_start(&f.guard, on_guard, GUARD_MS, 0);
}

static int start_watched(void **state)
{
    return start(state, false);
}

static int start_run(void **state)
{
    return start(state, true);
}

static void on_set_closed(struct weir_sockets *set)
{
    struct fixture *f = (struct fixture *)((char *)set - offsetof(struct fixture, set));
    f->is_closed = f->ends[0].n_closed == 1 && f->ends[1].n_closed == 1;
}

static int finish(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < 2; i++) {
        weir_socket_close(&f->ends[i].socket);
        weir_buf_finish(&f->ends[i].got);
        (void)close(f->ends[i].peer);
    }
    weir_sockets_close(&f->set, on_set_closed);
    if (f->is_run) {
        weir_poller_close(&f->poller, NULL);
    }
    uv_close((uv_handle_t *)&f->guard, NULL);
    uv_close((uv_handle_t *)&f->idle, NULL);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    return f->is_closed ? uv_loop_close(&f->loop) : -1; /* each was told once, before the set */
}

static void stop(void *poller)
{
    weir_poller_stop(poller);
}

static void run_once(struct fixture *f)
{
    if (f->is_run) {
        weir_poller_run(&f->poller, stop, &f->poller);
    } else {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
}

#define RUN_UNTIL(f, condition)                                                                    \
    while (!(condition)) {                                                                         \
        assert_false((f)->guard_fired);                                                            \
        run_once(f);                                                                               \
    }

/* Whatever is on its way is told in these turns. */
static void run_idle(struct fixture *f)
{
    (void)uv_idle_start(&f->idle, on_idle);
    for (int i = 0; i < 5; i++) {
        run_once(f);
    }
    (void)uv_idle_stop(&f->idle);
}

static void put(const struct end *e, const char *text)
{
    assert_int_equal(write(e->peer, text, strlen(text)), strlen(text));
}

static void what_a_peer_writes_is_told_once_and_in_order(void **state)
{
    struct fixture *f = *state;
    struct end *e = &f->ends[0];
    put(e, "abc");
    RUN_UNTIL(f, e->got.len == 3);
    put(e, "def");
    put(e, "ghi");
    RUN_UNTIL(f, e->got.len == 9);
    run_idle(f);
    assert_string_equal(e->got.data, "abcdefghi");
    assert_int_equal(e->n_inputs, 2);
    assert_int_equal(e->n_ends + e->n_writable, 0);
}

static void a_paused_socket_is_read_when_it_goes_on(void **state)
{
    struct fixture *f = *state;
    struct end *e = &f->ends[0];
    weir_socket_set_reading(&e->socket, false);
    put(e, "before");
    (void)shutdown(e->peer, SHUT_WR);
    run_idle(f);
    assert_int_equal(e->n_inputs + e->n_ends, 0);
    assert_true(weir_socket_has_hung_up(&e->socket)); /* seen all the same */
    weir_socket_set_reading(&e->socket, true);
    assert_int_equal(e->n_inputs, 0); /* from the loop only */
    RUN_UNTIL(f, e->n_ends == 1);
    assert_string_equal(e->got.data, "before");
    assert_int_equal(e->status, UV_EOF);
    run_idle(f);
    assert_int_equal(e->n_ends, 1);
}

static void bytes_and_an_end_that_came_together_are_both_told(void **state)
{
    struct fixture *f = *state;
    struct end *e = &f->ends[0];
    put(e, "last words");
    (void)close(e->peer);
    e->peer = -1;
    RUN_UNTIL(f, e->n_ends == 1);
    assert_string_equal(e->got.data, "last words");
    assert_int_equal(e->status, UV_EOF);
}

/* As much as there is at once, in parts of the set's buffer. */
static size_t send_much(int fd)
{
    size_t n_bytes = 0;
    ssize_t n;
    static char much[LONG_BYTES];
    int size = 4 * LONG_BYTES;
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    while ((n = send(fd, much, sizeof(much), MSG_DONTWAIT)) > 0) {
        n_bytes += (size_t)n;
    }
    return n_bytes;
}

static void one_that_sends_much_does_not_keep_the_others_waiting(void **state)
{
    struct fixture *f = *state;
    struct end *busy = &f->ends[0], *quiet = &f->ends[1];
    size_t n_bytes = send_much(busy->peer);
    uv_run(&f->loop, UV_RUN_NOWAIT);
    uint32_t n = busy->n_inputs;
    assert_true(n <= WEIR_SOCKETS_READS);
    put(quiet, "a word");
    RUN_UNTIL(f, quiet->n_inputs == 1);
    assert_true(busy->n_inputs <= n + 2 * WEIR_SOCKETS_READS);
    RUN_UNTIL(f, busy->n_bytes == n_bytes); /* nothing of the rest is forgotten */
}

static void one_that_is_closed_in_a_batch_hears_nothing_more_of_it(void **state)
{
    struct fixture *f = *state;
    f->ends[0].closes_other = f->ends[1].closes_other = true;
    put(&f->ends[0], "one");
    put(&f->ends[1], "two");
    RUN_UNTIL(f, f->ends[0].n_closed + f->ends[1].n_closed == 1);
    run_idle(f);
    assert_int_equal(f->ends[0].n_inputs + f->ends[1].n_inputs, 1);
}

static void closed_is_told_by_the_loop_and_not_by_close(void **state)
{
    struct fixture *f = *state;
    struct end *e = &f->ends[0];
    put(e, "not read any more");
    weir_socket_close(&e->socket);
    weir_socket_close(&e->socket);
    assert_int_equal(e->n_closed, 0);
    RUN_UNTIL(f, e->n_closed == 1);
    assert_int_equal(e->n_inputs + e->n_ends, 0);
    assert_int_equal(send(e->peer, "x", 1, MSG_NOSIGNAL), -1);
}

static void what_a_full_socket_does_not_take_waits_for_room(void **state)
{
    static char piece[64 * 1024];
    struct fixture *f = *state;
    struct end *e = &f->ends[0];
    struct weir_buf bytes;
    size_t n_gone = 0;
    uint8_t next_in = 0, next_out = 0;
    bool is_in_order = true;
    weir_buf_init(&bytes, 64 << 20);
    while (!weir_socket_is_waiting(&e->socket) || bytes.len < 4 * sizeof(piece)) {
        for (size_t i = 0; i < sizeof(piece); i++) {
            piece[i] = (char)next_in;
            next_in = next_in == 250 ? 0 : next_in + 1;
        }
        weir_buf_add(&bytes, piece, sizeof(piece));
        if (!weir_socket_is_waiting(&e->socket)) {
            assert_true(weir_socket_send_buf(&e->socket, &bytes, &n_gone) >= 0);
        }
    }
    run_idle(f);
    assert_int_equal(e->n_writable, 0);
    while (bytes.len > 0) {
        ssize_t n;
        while ((n = recv(e->peer, piece, sizeof(piece), 0)) > 0) {
            for (ssize_t i = 0; i < n; i++) {
                is_in_order &= piece[i] == (char)next_out;
                next_out = next_out == 250 ? 0 : next_out + 1;
            }
        }
        uint32_t n_writable = e->n_writable;
        RUN_UNTIL(f, e->n_writable > n_writable);
        assert_false(weir_socket_is_waiting(&e->socket));
        assert_true(weir_socket_send_buf(&e->socket, &bytes, &n_gone) > 0);
    }
    assert_true(is_in_order);
    assert_int_equal(n_gone, 0);
    weir_buf_finish(&bytes);
}

static void a_peer_that_is_gone_is_an_error_without_a_signal(void **state)
{
    struct fixture *f = *state;
    struct end *e = &f->ends[0];
    (void)close(e->peer);
    e->peer = -1;
    assert_int_equal(weir_socket_send(&e->socket, "x", 1), -EPIPE);
}

static int listen_somewhere(struct sockaddr_in *ret_address)
{
    socklen_t n = sizeof(*ret_address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    *ret_address = (struct sockaddr_in){.sin_family = AF_INET};
    ret_address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)ret_address, sizeof(*ret_address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)ret_address, &n), 0);
    return fd;
}

static void connecting_tells_how_it_went(void **state)
{
    struct fixture *f = *state;
    struct end *e = &f->ends[0];
    struct sockaddr_in address;
    int fd = listen_somewhere(&address); /* bound only: nobody listens */
    for (int is_heard = 0; is_heard < 2; is_heard++) {
        weir_socket_close(&e->socket);
        RUN_UNTIL(f, e->n_closed == 1);
        e->n_closed = e->n_writable = 0;
        assert_int_equal(is_heard ? listen(fd, 1) : 0, 0);
        assert_int_equal(
            weir_socket_connect(&e->socket, &f->set, (struct sockaddr *)&address, &events), 0);
        assert_int_equal(e->n_writable, 0);
        RUN_UNTIL(f, e->n_writable == 1);
        assert_int_equal(weir_socket_error(&e->socket), is_heard ? 0 : -ECONNREFUSED);
    }
    assert_int_equal(weir_socket_send(&e->socket, "x", 1), 1);
    (void)close(fd);
}

static void a_reset_peer_is_told_so(void **state)
{
    struct fixture *f = *state;
    struct end *e = &f->ends[0];
    struct sockaddr_in address;
    char byte;
    int fd = listen_somewhere(&address);
    weir_socket_close(&e->socket);
    RUN_UNTIL(f, e->n_closed == 1);
    e->n_closed = 0;
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(weir_socket_connect(&e->socket, &f->set, (struct sockaddr *)&address, &events),
                     0);
    int peer = accept(fd, NULL, NULL);
    weir_socket_reset(&e->socket);
    assert_int_equal(recv(peer, &byte, 1, 0), -1);
    assert_int_equal(errno, ECONNRESET);
    (void)close(peer);
    (void)close(fd);
}

#define TEST(name)                                                                                 \
    {"watched: " #name, name, start_watched, finish, NULL},                                        \
    {                                                                                              \
        "run: " #name, name, start_run, finish, NULL                                               \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_a_peer_writes_is_told_once_and_in_order),
        TEST(a_paused_socket_is_read_when_it_goes_on),
        TEST(bytes_and_an_end_that_came_together_are_both_told),
        TEST(one_that_sends_much_does_not_keep_the_others_waiting),
        TEST(one_that_is_closed_in_a_batch_hears_nothing_more_of_it),
        TEST(closed_is_told_by_the_loop_and_not_by_close),
        TEST(what_a_full_socket_does_not_take_waits_for_room),
        TEST(a_peer_that_is_gone_is_an_error_without_a_signal),
        TEST(connecting_tells_how_it_went),
        TEST(a_reset_peer_is_told_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
