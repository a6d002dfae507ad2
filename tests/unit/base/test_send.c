/* SPDX-License-Identifier: Apache-2.0 */
#include "base/send.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/cmocka.h"

static int make_pair(void **state)
{
    static int pair[2];
    *state = pair;
    return socketpair(AF_UNIX, SOCK_STREAM, 0, pair); /* both block: sending must not */
}

static int close_pair(void **state)
{
    const int *pair = *state;
    (void)close(pair[0]);
    (void)close(pair[1]);
    return 0;
}

static void bytes_arrive_in_order(void **state)
{
    const int *pair = *state;
    char got[8] = "";
    assert_int_equal(weir_send(pair[0], "abc", 3), 3);
    assert_int_equal(weir_send(pair[0], "def", 3), 3);
    assert_int_equal(read(pair[1], got, sizeof(got)), 6);
    assert_memory_equal(got, "abcdef", 6);
}

static void a_full_socket_takes_nothing_and_is_no_error(void **state)
{
    const int *pair = *state;
    static char much[64 * 1024];
    ssize_t n;
    do {
        n = weir_send(pair[0], much, sizeof(much));
        assert_true(n >= 0);
    } while (n > 0);
    assert_true(read(pair[1], much, sizeof(much)) > 0);
    while (recv(pair[1], much, sizeof(much), MSG_DONTWAIT) > 0) {
    }
    assert_int_equal(weir_send(pair[0], "x", 1), 1);
}

static void a_peer_that_is_gone_is_an_error_without_a_signal(void **state)
{
    int *pair = *state;
    (void)close(pair[1]);
    pair[1] = -1;
    assert_int_equal(weir_send(pair[0], "x", 1), -EPIPE);
    assert_int_equal(weir_send(-1, "x", 1), -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bytes_arrive_in_order, make_pair, close_pair),
        cmocka_unit_test_setup_teardown(a_full_socket_takes_nothing_and_is_no_error, make_pair,
                                        close_pair),
        cmocka_unit_test_setup_teardown(a_peer_that_is_gone_is_an_error_without_a_signal, make_pair,
                                        close_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
