/* SPDX-License-Identifier: Apache-2.0 */
#include "core/config/store_url.h"

#include "tests/support/cmocka.h"

static struct weir_store_url parsed(const char *text)
{
    struct weir_store_url u;
    struct weir_error err = {0};
    if (weir_store_url_parse(text, &u, &err) < 0) {
        fail_msg("%s: %s", text, err.message);
    }
    return u;
}

static void refused(const char *text, const char *part)
{
    struct weir_store_url u;
    struct weir_error err = {0};
    assert_int_equal(weir_store_url_parse(text, &u, &err), WEIR_E_ARG);
    if (!strstr(err.message, part)) {
        fail_msg("%s: \"%s\" does not say \"%s\"", text, err.message, part);
    }
    assert_null(strstr(err.message, "secret"));
}

static void one_server(void **state)
{
    (void)state;
    struct weir_store_url u = parsed("redis://redis.internal");
    assert_int_equal(u.kind, WEIR_STORE_URL_TCP);
    assert_false(u.tls);
    assert_string_equal(u.hosts[0].name, "redis.internal");
    assert_int_equal(u.hosts[0].port, 6379);
    assert_string_equal(u.user, "");
    assert_string_equal(u.password, "");
    assert_int_equal(u.db, 0);
    u = parsed("rediss://app:p%40ss%2Fw%25rd@10.0.0.1:7000/15");
    assert_true(u.tls);
    assert_string_equal(u.user, "app");
    assert_string_equal(u.password, "p@ss/w%rd");
    assert_int_equal(u.hosts[0].port, 7000);
    assert_int_equal(u.db, 15);
    u = parsed("redis://:only@[2001:db8::1]:6380/");
    assert_string_equal(u.user, "");
    assert_string_equal(u.password, "only");
    assert_string_equal(u.hosts[0].name, "2001:db8::1");
    assert_int_equal(u.hosts[0].port, 6380);
}

static void a_socket(void **state)
{
    (void)state;
    struct weir_store_url u = parsed("redis+unix:///run/redis/redis.sock?db=2");
    assert_int_equal(u.kind, WEIR_STORE_URL_UNIX);
    assert_string_equal(u.path, "/run/redis/redis.sock");
    assert_int_equal(u.db, 2);
    refused("redis+unix://run/redis.sock", "absolute path");
    refused("redis+unix:///run/redis.sock?x=1", "?db=N");
    refused("redis+unix:///run/redis.sock?db=", "?db=N");
}

static void sentinels(void **state)
{
    (void)state;
    struct weir_store_url u = parsed("redis+sentinel://a,b:1,[::1]:2/main/4");
    assert_int_equal(u.kind, WEIR_STORE_URL_SENTINEL);
    assert_int_equal(u.n_hosts, 3);
    assert_int_equal(u.hosts[0].port, 26379);
    assert_int_equal(u.hosts[1].port, 1);
    assert_string_equal(u.hosts[2].name, "::1");
    assert_string_equal(u.master, "main");
    assert_int_equal(u.db, 4);
    refused("redis+sentinel://a,b", "master's name");
    refused("redis+sentinel://a,b/", "master's name");
    refused("redis+sentinel://a,/main", "lacks a host");
    refused("redis+sentinel://a/main/x", "database");
    refused("redis+sentinel://1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17/main", "more than 16");
}

static void mistakes_are_named_without_the_password(void **state)
{
    (void)state;
    refused("", "must begin with redis://");
    refused("http://:secret@h", "must begin with redis://");
    refused("redis://:secret@", "lacks a host");
    refused("redis://:secret@:6379", "lacks a host");
    refused("redis://:secret@h:0", "port");
    refused("redis://:secret@h:65536", "port");
    refused("redis://:secret@h:x", "port");
    refused("redis://:secret@h/99999", "database");
    refused("redis://:secret%@h", "percent-encoded");
    refused("redis://:secret%0@h", "percent-encoded");
    refused("redis://:secret%00x@h", "percent-encoded");
    refused("redis://:secret@[::1", "lacks a host");
    refused("redis://:secret@[::1]x", "behind its end");
    refused("redis://a,b/0", "behind its end");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_server),
        cmocka_unit_test(a_socket),
        cmocka_unit_test(sentinels),
        cmocka_unit_test(mistakes_are_named_without_the_password),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
