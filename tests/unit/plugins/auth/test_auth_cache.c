/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/auth/cache.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/cmocka.h"

static atomic_int n_alive;

static void *take(const weir_host *h, size_t n)
{
    (void)h;
    atomic_fetch_add(&n_alive, 1);
    return malloc(n);
}

static void give(const weir_host *h, void *p)
{
    (void)h;
    if (p) {
        atomic_fetch_sub(&n_alive, 1);
    }
    free(p);
}

static const weir_host host = {.struct_size = sizeof(host), .alloc = take, .free = give};
static const struct auth_cache_times times = {
    .fresh_us = 30000000, .unknown_us = 2000000, .retry_us = 1000000};
static struct auth_cache *cache;

static int set_up(void **state)
{
    (void)state;
    return auth_cache_create(&host, 512, times, &cache);
}

static int tear_down(void **state)
{
    (void)state;
    auth_cache_destroy(cache);
    return atomic_load(&n_alive); /* nothing is left */
}

static struct auth_name name_of(const char *id)
{
    return (struct auth_name){weir_str_from("acme"), weir_str_from(id)};
}

static struct auth_key *key_of(const char *id)
{
    static const char json[] =
        "{\"name\":\"k\",\"sha256\":"
        "\"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\"}";
    char error[AUTH_ERROR_BYTES];
    struct auth_key *key = auth_key_create(&host, weir_str_from("acme"), weir_str_from(id),
                                           weir_str_from(json), error);
    assert_non_null(key);
    return key;
}

/* Looks, and gives back the reference. */
static enum auth_cached look(const char *id, uint64_t now_us, struct auth_cache_answer *ret)
{
    enum auth_cached got = auth_cache_get(cache, name_of(id), now_us, ret);
    auth_key_unref(ret->key);
    return got;
}

static void put(const char *id, bool known, uint64_t now_us)
{
    struct auth_cache_answer a;
    (void)look(id, now_us, &a);
    auth_cache_put(cache, name_of(id), known ? key_of(id) : NULL, a.epoch, now_us);
}

static void a_key_is_fresh_then_read_by_one_while_others_use_it(void **state)
{
    (void)state;
    struct auth_cache_answer a;
    assert_int_equal(look("k1", 0, &a), AUTH_CACHED_NOT);
    put("k1", true, 0);
    assert_int_equal(look("k1", 29000000, &a), AUTH_CACHED_KEY);
    assert_int_equal(look("k1", 31000000, &a), AUTH_CACHED_REFRESH);
    assert_int_equal(look("k1", 31000000, &a), AUTH_CACHED_OLD);
    assert_false(a.failed);
    put("k1", true, 31000000);
    assert_int_equal(look("k1", 31000001, &a), AUTH_CACHED_KEY);
}

static void a_failed_read_is_tried_once_a_second_and_the_age_goes_on(void **state)
{
    (void)state;
    struct auth_cache_answer a;
    put("k1", true, 0);
    assert_int_equal(look("k1", 40000000, &a), AUTH_CACHED_REFRESH);
    auth_cache_failed(cache, name_of("k1"), 40000000);
    assert_int_equal(look("k1", 40500000, &a), AUTH_CACHED_OLD);
    assert_true(a.failed);
    assert_int_equal(a.age_us, 40500000);
    assert_int_equal(look("k1", 41000000, &a), AUTH_CACHED_REFRESH);
}

static void an_unknown_name_is_known_to_be_none_for_a_while(void **state)
{
    (void)state;
    struct auth_cache_answer a;
    put("k1", false, 0);
    assert_int_equal(look("k1", 1900000, &a), AUTH_CACHED_UNKNOWN);
    assert_int_equal(look("k1", 2000000, &a), AUTH_CACHED_NOT);
    put("k1", false, 3000000);
    auth_cache_drop(cache, name_of("k1"));
    assert_int_equal(look("k1", 3000001, &a), AUTH_CACHED_NOT);
}

static void what_was_read_before_a_drop_is_not_kept(void **state)
{
    (void)state;
    struct auth_cache_answer before, a;
    put("k1", true, 0);
    assert_int_equal(look("k1", 31000000, &before), AUTH_CACHED_REFRESH);
    auth_cache_drop(cache, name_of("k1")); /* revoked while the read is under way */
    auth_cache_put(cache, name_of("k1"), key_of("k1"), before.epoch, 31000000);
    assert_int_equal(look("k1", 31000001, &a), AUTH_CACHED_NOT);
}

static void doubt_makes_keys_old_but_keeps_them(void **state)
{
    (void)state;
    struct auth_cache_answer a;
    put("k1", true, 0);
    auth_cache_doubt(cache, weir_str_from("other"));
    assert_int_equal(look("k1", 1, &a), AUTH_CACHED_KEY);
    auth_cache_doubt(cache, weir_str_from("acme"));
    assert_int_equal(look("k1", 2, &a), AUTH_CACHED_REFRESH);
    auth_cache_failed(cache, name_of("k1"), 2);
    assert_int_equal(look("k1", 3, &a), AUTH_CACHED_OLD);
}

static void guesses_do_not_push_keys_out_and_memory_is_bounded(void **state)
{
    (void)state;
    struct auth_cache_answer a;
    char id[AUTH_ID_BYTES + 1];
    put("goodgoodgoodgood", true, 0);
    int before = atomic_load(&n_alive);
    for (int i = 0; i < 100000; i++) {
        (void)snprintf(id, sizeof(id), "guess%011d", i);
        put(id, false, 1);
    }
    assert_int_equal(look("goodgoodgoodgood", 2, &a), AUTH_CACHED_KEY);
    assert_int_equal(atomic_load(&n_alive), before);
    for (int i = 0; i < 5000; i++) {
        (void)snprintf(id, sizeof(id), "real%012d", i);
        put(id, true, 3);
    }
    assert_true(atomic_load(&n_alive) - before <= 512);
}

enum { N_THREADS = 4, N_ROUNDS = 20000 };

static void *use(void *arg)
{
    (void)arg;
    for (int i = 0; i < N_ROUNDS; i++) {
        char id[8];
        struct auth_cache_answer a;
        (void)snprintf(id, sizeof(id), "k%d", i % 8);
        enum auth_cached got = auth_cache_get(cache, name_of(id), (uint64_t)i, &a);
        if (a.key && !weir_str_is(a.key->id, id)) {
            abort();
        }
        auth_key_unref(a.key);
        if (got == AUTH_CACHED_NOT) {
            auth_cache_put(cache, name_of(id), key_of(id), a.epoch, (uint64_t)i);
        } else if (i % 97 == 0) {
            auth_cache_drop(cache, name_of(id));
        }
    }
    return NULL;
}

static void threads_share_it(void **state)
{
    (void)state;
    pthread_t threads[N_THREADS];
    for (int i = 0; i < N_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, use, NULL), 0);
    }
    for (int i = 0; i < N_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}

static void keys_are_made_and_taken_apart(void **state)
{
    (void)state;
    char id[AUTH_ID_BYTES + 1], text[AUTH_KEY_TEXT_BYTES], other[AUTH_KEY_TEXT_BYTES];
    static const char *const tenants[] = {
        "a", "acme", "a_b-c.d_",
        "0123456789012345678901234567890123456789012345678901234567890123"};
    for (size_t i = 0; i < sizeof(tenants) / sizeof(tenants[0]); i++) {
        struct auth_key_parts p;
        assert_int_equal(auth_key_make_id(id), 0);
        assert_int_equal(auth_key_make(weir_str_from(tenants[i]), id, text), 0);
        assert_int_equal(auth_key_make(weir_str_from(tenants[i]), id, other), 0);
        assert_string_not_equal(text, other);
        assert_true(auth_key_parse(weir_str_from(text), &p));
        assert_true(weir_str_is(p.tenant, tenants[i]));
        assert_true(weir_str_is(p.id, id));
        text[4] = '-';
        assert_false(auth_key_parse(weir_str_from(text), &p));
    }
    struct auth_key_parts p;
    static const char *const bad[] = {
        "",
        "weir_",
        "sk-123",
        "weir__aaaaaaaaaaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "weir_a/b_aaaaaaaaaaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "weir_a_aaaaaaaaaaaaaaa1_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "weir_a_aaaaaaaaaaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "weir_a_aaaaaaaaaaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaA",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(auth_key_parse(weir_str_from(bad[i]), &p));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_key_is_fresh_then_read_by_one_while_others_use_it),
        TEST(a_failed_read_is_tried_once_a_second_and_the_age_goes_on),
        TEST(an_unknown_name_is_known_to_be_none_for_a_while),
        TEST(what_was_read_before_a_drop_is_not_kept),
        TEST(doubt_makes_keys_old_but_keeps_them),
        TEST(guesses_do_not_push_keys_out_and_memory_is_bounded),
        TEST(threads_share_it),
        cmocka_unit_test(keys_are_made_and_taken_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
