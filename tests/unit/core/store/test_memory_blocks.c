/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/memory_blocks.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/cmocka.h"

enum { N_PLACES = 4000, N_STEPS = 200000, SMALLEST = 1, LARGEST = 2500 };

struct place {
    unsigned char *p;
    size_t n;
};

static uint64_t random_below(uint64_t *state, uint64_t n)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (*state >> 33) % n;
}

static unsigned char mark_of(size_t i, size_t n)
{
    return (unsigned char)(i * 31 + n);
}

static void check(const struct place *at, size_t i)
{
    for (size_t k = 0; k < at->n; k++) {
        assert_int_equal(at->p[k], mark_of(i, at->n));
    }
}

static size_t count_regions(const struct weir_store_regions *r)
{
    size_t n = 0;
    for (void *region = r->newest; region; region = *(void **)region) {
        n++;
    }
    return n;
}

/* Blocks of two shards come and go; each keeps what was written into it. */
static void blocks_of_all_sizes_do_not_overlap(void **state)
{
    static struct place places[N_PLACES];
    struct weir_store_regions regions;
    (void)state;
    assert_int_equal(weir_store_regions_init(&regions), 0);
    struct weir_store_blocks shards[2] = {{.regions = &regions}, {.regions = &regions}};
    uint64_t random = 7;
    for (size_t step = 0; step < N_STEPS; step++) {
        size_t i = random_below(&random, N_PLACES);
        struct place *at = &places[i];
        struct weir_store_blocks *b = &shards[i % 2];
        if (at->p) {
            check(at, i);
            weir_store_block_put(b, at->p, at->n);
            at->p = NULL;
            continue;
        }
        at->n = SMALLEST + random_below(&random, LARGEST);
        at->p = weir_store_block_get(b, at->n);
        assert_non_null(at->p);
        assert_int_equal((uintptr_t)at->p % 16, 0);
        memset(at->p, mark_of(i, at->n), at->n);
    }
    for (size_t i = 0; i < N_PLACES; i++) {
        if (places[i].p) {
            check(&places[i], i);
            weir_store_block_put(&shards[i % 2], places[i].p, places[i].n);
            places[i].p = NULL;
        }
    }
    weir_store_regions_finish(&regions);
}

static void what_one_size_no_longer_needs_serves_another(void **state)
{
    enum { BYTES = 8 * 1024 * 1024 };
    static void *blocks[BYTES / 64];
    struct weir_store_regions regions;
    (void)state;
    assert_int_equal(weir_store_regions_init(&regions), 0);
    struct weir_store_blocks shards[2] = {{.regions = &regions}, {.regions = &regions}};
    size_t after_first = 0;
    for (size_t size = 64; size <= 2048; size *= 2) {
        size_t n = BYTES / size;
        for (size_t i = 0; i < n; i++) {
            blocks[i] = weir_store_block_get(&shards[size % 3 % 2], size);
            assert_non_null(blocks[i]);
        }
        for (size_t i = 0; i < n; i++) {
            weir_store_block_put(&shards[size % 3 % 2], blocks[i], size);
        }
        after_first = after_first ? after_first : count_regions(&regions);
    }
    assert_true(after_first >= 4);
    assert_true(count_regions(&regions) <= after_first + 1);
    weir_store_regions_finish(&regions);
}

static void a_large_block_is_the_allocators(void **state)
{
    struct weir_store_regions regions;
    (void)state;
    assert_int_equal(weir_store_regions_init(&regions), 0);
    struct weir_store_blocks b = {.regions = &regions};
    void *large = weir_store_block_get(&b, WEIR_STORE_MAX_BLOCK + 1);
    assert_non_null(large);
    assert_int_equal(count_regions(&regions), 0);
    weir_store_block_put(&b, large, WEIR_STORE_MAX_BLOCK + 1);
    weir_store_block_put(&b, NULL, 10);
    weir_store_regions_finish(&regions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_all_sizes_do_not_overlap),
        cmocka_unit_test(what_one_size_no_longer_needs_serves_another),
        cmocka_unit_test(a_large_block_is_the_allocators),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
