/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/scheduler/page_pool.h"

#include "tests/support/cmocka.h"

enum { N_PAGES = 8, N_OWNERS = 4 };

struct fixture {
    struct weir_page_pool *pool;
    struct weir_page_secret secret;
    struct weir_page_key root;
    int32_t tokens[N_PAGES * WEIR_PAGE_TOKENS];
};

static void start(struct fixture *f)
{
    assert_int_equal(weir_page_pool_create(N_PAGES, N_OWNERS, &f->pool), 0);
    assert_int_equal(weir_page_secret_init(&f->secret), 0);
    f->root = weir_page_key_root(&f->secret, weir_str_from("acme"));
    for (int32_t i = 0; i < N_PAGES * WEIR_PAGE_TOKENS; i++) {
        f->tokens[i] = i * 7;
    }
}

/* Takes, fills and publishes the first n pages of the tokens; they stay held. */
static void fill_for(struct fixture *f, uint32_t owner, struct weir_page_key root, uint32_t n,
                     uint32_t *pages)
{
    struct weir_page_key key = root;
    for (uint32_t i = 0; i < n; i++) {
        const int32_t *tokens = f->tokens + i * WEIR_PAGE_TOKENS;
        struct weir_page_key next = weir_page_key_next(&f->secret, key, tokens);
        assert_int_equal(weir_page_pool_take(f->pool, owner, false, &pages[i]), WEIR_PAGE_TAKEN);
        weir_page_pool_publish(f->pool, pages[i], key, next, tokens);
        key = next;
    }
}

static void fill(struct fixture *f, uint32_t n, uint32_t *pages)
{
    fill_for(f, 0, f->root, n, pages);
}

static uint32_t match(struct fixture *f, struct weir_page_key root, uint32_t max, uint32_t *pages)
{
    return weir_page_pool_match(f->pool, &f->secret, f->tokens, max, pages, &root);
}

static void the_longest_published_prefix_is_found_and_shared(void **state)
{
    (void)state;
    struct fixture f;
    uint32_t mine[N_PAGES], found[N_PAGES];
    start(&f);
    fill(&f, 3, mine);

    assert_int_equal(match(&f, f.root, 5, found), 3);
    assert_memory_equal(found, mine, 3 * sizeof(uint32_t));
    assert_int_equal(match(&f, f.root, 2, found), 2);
    f.tokens[20] = -1; /* in the second page */
    assert_int_equal(match(&f, f.root, 5, found), 1);

    weir_page_pool_release(f.pool, found, 1);
    weir_page_pool_release(f.pool, mine, 2);
    weir_page_pool_release(f.pool, mine, 3);
    assert_int_equal(weir_page_pool_n_available(f.pool), N_PAGES - 3); /* the first match's */
    weir_page_pool_release(f.pool, mine, 3);
    assert_int_equal(weir_page_pool_n_available(f.pool), N_PAGES);
    weir_page_pool_destroy(f.pool);
}

static void another_tenant_finds_nothing(void **state)
{
    (void)state;
    struct fixture f;
    uint32_t mine[N_PAGES], found[N_PAGES];
    start(&f);
    fill(&f, 3, mine);

    struct weir_page_key other = weir_page_key_root(&f.secret, weir_str_from("globex"));
    assert_int_equal(match(&f, other, 3, found), 0);
    struct weir_page_key nobody = weir_page_key_root(&f.secret, (weir_str){NULL, 0});
    assert_int_equal(match(&f, nobody, 3, found), 0);

    weir_page_pool_release(f.pool, mine, 3);
    weir_page_pool_destroy(f.pool);
}

static void kept_pages_are_evicted_oldest_and_deepest_first(void **state)
{
    (void)state;
    struct fixture f;
    uint32_t mine[N_PAGES], found[N_PAGES], taken[N_PAGES];
    start(&f);
    fill(&f, 4, mine);
    weir_page_pool_release(f.pool, mine, 4);
    assert_int_equal(weir_page_pool_n_kept(f.pool), 4);

    for (uint32_t i = 0; i < N_PAGES - 2; i++) {
        assert_int_equal(weir_page_pool_take(f.pool, 0, false, &taken[i]), WEIR_PAGE_TAKEN);
    }
    assert_int_equal(match(&f, f.root, 4, found), 2); /* the prefix's begin outlives its end */
    assert_int_equal(weir_page_pool_take(f.pool, 0, false, &taken[6]), WEIR_PAGE_NONE);

    weir_page_pool_release(f.pool, found, 2);
    weir_page_pool_release(f.pool, taken, N_PAGES - 2);
    assert_int_equal(weir_page_pool_n_available(f.pool), N_PAGES);
    weir_page_pool_destroy(f.pool);
}

static void a_second_copy_of_a_page_is_not_published(void **state)
{
    (void)state;
    struct fixture f;
    uint32_t first[N_PAGES], second[N_PAGES], found[N_PAGES];
    start(&f);
    fill(&f, 2, first);
    fill(&f, 2, second);

    assert_int_equal(match(&f, f.root, 2, found), 2);
    assert_memory_equal(found, first, 2 * sizeof(uint32_t));

    weir_page_pool_release(f.pool, found, 2);
    weir_page_pool_release(f.pool, second, 2);
    assert_int_equal(weir_page_pool_n_kept(f.pool), 0);
    weir_page_pool_release(f.pool, first, 2);
    assert_int_equal(weir_page_pool_n_kept(f.pool), 2);
    weir_page_pool_destroy(f.pool);
}

static void an_owner_at_its_bound_gives_up_its_own_pages_first(void **state)
{
    (void)state;
    struct fixture f;
    uint32_t mine[N_PAGES], more[N_PAGES], found[N_PAGES];
    start(&f);
    weir_page_pool_set_owner(f.pool, 0, 100, 3);
    fill(&f, 3, mine);
    assert_int_equal(weir_page_pool_take(f.pool, 0, false, more), WEIR_PAGE_AT_BOUND);
    assert_int_equal(weir_page_pool_take(f.pool, 0, true, more), WEIR_PAGE_TAKEN);
    assert_int_equal(weir_page_pool_n_held(f.pool, 0), 4);
    weir_page_pool_release(f.pool, more, 1);
    weir_page_pool_release(f.pool, mine, 3);
    assert_int_equal(weir_page_pool_n_owned(f.pool, 0), 3);
    for (uint32_t i = 0; i < 2; i++) { /* pages are free, but not for this owner */
        assert_int_equal(weir_page_pool_take(f.pool, 0, false, &more[i]), WEIR_PAGE_TAKEN);
        assert_int_equal(weir_page_pool_n_owned(f.pool, 0), 3);
    }
    assert_int_equal(match(&f, f.root, 3, found), 1);
    assert_int_equal(weir_page_pool_take(f.pool, 0, false, &more[2]), WEIR_PAGE_AT_BOUND);
    weir_page_pool_release(f.pool, found, 1);
    weir_page_pool_release(f.pool, more, 2);
    weir_page_pool_set_owner(f.pool, 0, 100, 1); /* lowered: cached pages go at once */
    assert_true(weir_page_pool_n_owned(f.pool, 0) <= 1);
    assert_int_equal(weir_page_pool_n_available(f.pool), N_PAGES);
    weir_page_pool_destroy(f.pool);
}

static void the_loudest_cache_gives_way_and_the_quiet_one_stays(void **state)
{
    (void)state;
    struct fixture f;
    uint32_t quiet[N_PAGES], loud[N_PAGES], taken[N_PAGES], found[N_PAGES];
    start(&f);
    struct weir_page_key other = weir_page_key_root(&f.secret, weir_str_from("globex"));
    weir_page_pool_set_owner(f.pool, 1, 100, 0);
    weir_page_pool_set_owner(f.pool, 2, 100, 0);
    fill_for(&f, 1, f.root, 2, quiet);
    weir_page_pool_release(f.pool, quiet, 2); /* the oldest of all */
    fill_for(&f, 2, other, 6, loud);
    weir_page_pool_release(f.pool, loud, 6);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(weir_page_pool_take(f.pool, 2, false, &taken[i]), WEIR_PAGE_TAKEN);
    }
    assert_int_equal(match(&f, f.root, 2, found), 2);
    weir_page_pool_release(f.pool, found, 2);
    assert_int_equal(weir_page_pool_n_owned(f.pool, 2), 6);
    weir_page_pool_release(f.pool, taken, 4);
    weir_page_pool_forget_owner(f.pool, 2);
    assert_int_equal(weir_page_pool_n_owned(f.pool, 2), 0);
    assert_int_equal(weir_page_pool_n_kept(f.pool), 2);
    weir_page_pool_destroy(f.pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_published_prefix_is_found_and_shared),
        cmocka_unit_test(another_tenant_finds_nothing),
        cmocka_unit_test(kept_pages_are_evicted_oldest_and_deepest_first),
        cmocka_unit_test(a_second_copy_of_a_page_is_not_published),
        cmocka_unit_test(an_owner_at_its_bound_gives_up_its_own_pages_first),
        cmocka_unit_test(the_loudest_cache_gives_way_and_the_quiet_one_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
