/* SPDX-License-Identifier: Apache-2.0 */
#include "memory.h"

#include <pthread.h>
#include <stdlib.h>

#include "tests/support/cmocka.h"

#define STR(text) ((weir_str)WEIR_STR_INIT(text))

/* A writer begins with 2048 bytes, which the text fits in. */
enum {
    TEXT_BYTES = 1000,
    SHARDS = 16,
    ANSWER_BYTES = MEMORY_PLACE_BYTES + sizeof(struct answer) + 2048
};

/* All in one shard. */
static uint64_t place_of(int number)
{
    return (uint64_t)number * SHARDS;
}

static void name(uint8_t digest[WEIR_ANSWER_DIGEST_BYTES], int number)
{
    memset(digest, 0, WEIR_ANSWER_DIGEST_BYTES);
    memcpy(digest + 1, &number, sizeof(number));
}

static bool add_since(struct memory *m, uint64_t epoch, int number, uint64_t made_us,
                      const char *tenant, const char *model, size_t tenant_bytes)
{
    static char text[TEXT_BYTES];
    uint8_t digest[WEIR_ANSWER_DIGEST_BYTES];
    name(digest, number);
    struct answer_writer w = {.max_bytes = 64 * 1024};
    const weir_chunk c = {.kind = WEIR_CHUNK_TEXT, .text = {text, sizeof(text)}};
    assert_int_equal(answer_add(&w, &c), 0);
    struct answer *a = answer_finish(&w, digest, made_us, 1, 1);
    return memory_add(m, a, epoch, place_of(number), weir_str_from(tenant), weir_str_from(model),
                      tenant_bytes);
}

static bool add_within(struct memory *m, int number, uint64_t made_us, const char *tenant,
                       const char *model, size_t tenant_bytes)
{
    return add_since(m, memory_epoch(m), number, made_us, tenant, model, tenant_bytes);
}

static void add(struct memory *m, int number, uint64_t made_us, const char *tenant,
                const char *model)
{
    (void)add_within(m, number, made_us, tenant, model, 0);
}

static bool has(struct memory *m, int number, uint64_t oldest_us)
{
    uint8_t digest[WEIR_ANSWER_DIGEST_BYTES];
    name(digest, number);
    struct answer_room spare;
    struct answer *a = memory_find(m, place_of(number), digest, oldest_us, &spare);
    assert_true(!a || !spare.a);
    free(spare.a);
    answer_unref(a);
    return a != NULL;
}

static struct memory *create(size_t bytes_of_a_shard)
{
    struct memory *m = NULL;
    assert_int_equal(memory_create(bytes_of_a_shard * 16, &m), 0);
    return m;
}

static void the_least_used_goes_first(void **state)
{
    (void)state;
    struct memory *m = create(3 * ANSWER_BYTES);
    for (int i = 0; i < 3; i++) {
        add(m, i, 1, "t", "m");
    }
    assert_true(has(m, 0, 0)); /* now 1 is the one that nobody asked for */
    add(m, 3, 1, "t", "m");
    assert_true(has(m, 0, 0));
    assert_false(has(m, 1, 0));
    assert_true(has(m, 2, 0) && has(m, 3, 0));
    struct memory_counts c = memory_count(m);
    assert_int_equal(c.entries, 3);
    assert_int_equal(c.evicted, 1);
    memory_destroy(m);
}

static void bytes_stay_within_the_bound(void **state)
{
    (void)state;
    size_t shard = 5 * ANSWER_BYTES + 100;
    struct memory *m = create(shard);
    for (int i = 0; i < 1000; i++) {
        add(m, i, 1, "t", "m");
        assert_true(memory_count(m).bytes <= shard);
    }
    assert_true(has(m, 999, 0));
    memory_clear(m);
    assert_int_equal(memory_count(m).bytes, 0);
    memory_destroy(m);
    m = create(TEXT_BYTES / 2); /* nothing fits */
    add(m, 1, 1, "t", "m");
    assert_false(has(m, 1, 0));
    memory_destroy(m);
}

static void old_answers_and_replaced_ones_are_gone(void **state)
{
    (void)state;
    struct memory *m = create(100 * ANSWER_BYTES);
    add(m, 1, 10, "t", "m");
    assert_true(has(m, 1, 10));
    add(m, 1, 20, "t", "m");
    assert_int_equal(memory_count(m).entries, 1);
    assert_true(has(m, 1, 15));
    assert_false(has(m, 1, 21));
    assert_true(has(m, 1, 15)); /* good enough for others still */
    memory_destroy(m);
}

static void a_place_has_one_answer_and_gives_it_to_its_own_request_only(void **state)
{
    (void)state;
    struct memory *m = create(100 * ANSWER_BYTES);
    struct answer_room spare;
    uint8_t digest[WEIR_ANSWER_DIGEST_BYTES];
    add(m, 1, 1, "t", "m");
    name(digest, 2);
    assert_null(memory_find(m, place_of(1), digest, 0, &spare));
    assert_null(spare.a);
    assert_true(has(m, 1, 0));
    assert_int_equal(memory_place(STR("t"), 7), memory_place(STR("t"), 7));
    assert_int_not_equal(memory_place(STR("t"), 7), memory_place(STR("t"), 8));
    assert_int_not_equal(memory_place(STR("t"), 7), memory_place(STR("u"), 7));
    memory_destroy(m);
}

/* In a table as small as this one places that differ above these bits stand in the same entry. */
static void another_place_of_the_same_entry_does_not_give_it(void **state)
{
    (void)state;
    enum { BUCKETS = 64 };
    struct memory *m = create(3 * ANSWER_BYTES);
    const uint64_t other = place_of(1) + ((uint64_t)SHARDS * BUCKETS << 32);
    uint8_t digest[WEIR_ANSWER_DIGEST_BYTES];
    struct answer_room spare;
    name(digest, 1);
    add(m, 1, 1, "t", "m");
    assert_null(memory_find(m, other, digest, 0, &spare));
    free(spare.a);
    assert_true(has(m, 1, 0));
    memory_destroy(m);
}

static void a_replaced_answer_is_written_over(void **state)
{
    (void)state;
    struct memory *m = create(100 * ANSWER_BYTES);
    struct answer_room spare, none;
    uint8_t digest[WEIR_ANSWER_DIGEST_BYTES];
    name(digest, 1);
    add(m, 1, 1, "t", "m");
    struct answer *held = memory_find(m, place_of(1), digest, 0, &spare);
    assert_non_null(held);
    add(m, 1, 2, "t", "m"); /* somebody reads the old one still */
    assert_null(memory_find(m, place_of(9), digest, 0, &spare));
    assert_null(spare.a);
    answer_unref(held);
    add(m, 1, 3, "t", "m");
    assert_null(memory_find(m, place_of(9), digest, 0, &spare));
    assert_non_null(spare.a);
    assert_int_equal(spare.cap, 2048);
    assert_null(memory_find(m, place_of(9), digest, 0, &none));
    assert_null(none.a);
    struct answer_writer w = {.spare = spare, .max_bytes = 64 * 1024};
    const weir_chunk c = {.kind = WEIR_CHUNK_TEXT, .text = STR("again")};
    assert_int_equal(answer_add(&w, &c), 0);
    struct answer *a = answer_finish(&w, digest, 4, 1, 1);
    weir_chunk *chunks = NULL;
    assert_ptr_equal(a, spare.a);
    assert_int_equal(a->n_chunks, 1);
    assert_int_equal(answer_chunks(a, &chunks), 0);
    assert_true(weir_str_eq(chunks[0].text, c.text));
    free(chunks);
    answer_unref(a);
    memory_destroy(m);
}

static void more_places_than_the_table_has_lines_for_are_told_apart(void **state)
{
    (void)state;
    enum { NUMBERS = 3000 }; /* for 64 lines of five */
    struct memory *m = create(500 * ANSWER_BYTES);
    unsigned seed = 7;
    bool is_there[NUMBERS] = {false};
    for (int i = 0; i < 450; i++) { /* fewer than there is room for */
        int number = rand_r(&seed) % NUMBERS;
        add(m, number, 1, "t", "m");
        is_there[number] = true;
    }
    uint64_t n = 0;
    for (int i = 0; i < NUMBERS; i++) {
        assert_int_equal(has(m, i, 0), is_there[i]);
        n += is_there[i];
    }
    assert_int_equal(memory_count(m).entries, n);
    for (int i = 0; i < 2 * NUMBERS; i++) {
        add(m, rand_r(&seed) % NUMBERS, 1, "t", "m");
    }
    assert_in_range(memory_count(m).entries, 400, 500);
    for (int i = 0; i < NUMBERS; i++) {
        is_there[i] = has(m, i, 0);
    }
    assert_int_equal(memory_count(m).bytes, memory_count(m).entries * ANSWER_BYTES);
    n = memory_count(m).entries;
    for (int i = 0; i < NUMBERS; i++) {
        n -= is_there[i];
    }
    assert_int_equal(n, 0); /* what is kept is found */
    assert_true(memory_drop(m, STR("t"), STR("m")) >= 400);
    assert_int_equal(memory_count(m).bytes, 0);
    memory_destroy(m);
}

static void a_tenants_or_a_models_answers_are_dropped(void **state)
{
    (void)state;
    struct memory *m = create(100 * ANSWER_BYTES);
    add(m, 1, 1, "a", "x");
    add(m, 2, 1, "a", "y");
    add(m, 3, 1, "b", "x");
    assert_int_equal(memory_drop(m, STR("a"), STR("x")), 1);
    assert_true(!has(m, 1, 0) && has(m, 2, 0) && has(m, 3, 0));
    assert_int_equal(memory_drop(m, STR("a"), (weir_str){NULL, 0}), 1);
    assert_true(!has(m, 2, 0) && has(m, 3, 0));
    memory_destroy(m);
}

static void what_was_asked_for_before_a_drop_is_not_added(void **state)
{
    (void)state;
    struct memory *m = create(100 * ANSWER_BYTES);
    uint64_t first = memory_epoch(m);
    assert_true(add_since(m, first, 1, 1, "a", "x", 0));
    (void)memory_drop(m, STR("b"), STR("x"));
    assert_false(add_since(m, first, 2, 1, "a", "x", 0));
    uint64_t second = memory_epoch(m);
    memory_clear(m);
    assert_false(add_since(m, second, 3, 1, "a", "x", 0));
    assert_int_equal(memory_count(m).entries, 0);
    assert_true(add_since(m, memory_epoch(m), 4, 1, "a", "x", 0));
    memory_destroy(m);
}

static void a_tenants_bytes_bound_it_and_nobody_else(void **state)
{
    (void)state;
    struct memory *m = create(20 * ANSWER_BYTES);
    for (int i = 0; i < 5; i++) {
        add(m, i, 1, "other", "m");
    }
    for (int i = 10; i < 20; i++) {
        (void)add_within(m, i, 1, "small", "m", (size_t)2 * ANSWER_BYTES * SHARDS);
    }
    for (int i = 0; i < 20; i++) {
        assert_int_equal(has(m, i, 0), i < 5 || i >= 18);
    }
    assert_int_equal(memory_count(m).evicted, 8);
    /* larger than all that it may have */
    assert_false(add_within(m, 30, 1, "tiny", "m", (size_t)100 * SHARDS));
    assert_false(has(m, 30, 0));
    memory_destroy(m);
}

static void who_takes_over_has_the_answers(void **state)
{
    (void)state;
    struct memory *first = NULL, *second = NULL, *other = NULL;
    assert_int_equal(memory_share(1 << 20, &first), 0);
    add(first, 1, 1, "t", "m");
    assert_int_equal(memory_share(1 << 20, &second), 0);
    assert_ptr_equal(first, second);
    memory_destroy(first);
    assert_true(has(second, 1, 0));
    assert_int_equal(memory_share(2 << 20, &other), 0); /* of another size */
    assert_false(has(other, 1, 0));
    assert_true(has(second, 1, 0));
    memory_destroy(second);
    memory_destroy(other);
    assert_int_equal(memory_share(1 << 20, &first), 0);
    assert_false(has(first, 1, 0));
    memory_destroy(first);
}

static void *use_it(void *arg)
{
    struct memory *m = arg;
    unsigned seed = (unsigned)(uintptr_t)&seed;
    for (int i = 0; i < 4000; i++) {
        int number = rand_r(&seed) % 20;
        uint8_t digest[WEIR_ANSWER_DIGEST_BYTES];
        struct answer_writer w = {.max_bytes = 64 * 1024};
        const weir_chunk c = {.kind = WEIR_CHUNK_TEXT, .text = STR("an answer")};
        name(digest, number);
        struct answer *found = memory_find(m, place_of(number), digest, 0, &w.spare);
        if (found) {
            assert_memory_equal(found->digest, digest, sizeof(digest));
            assert_int_equal(found->n_chunks, 1);
        } else if (answer_add(&w, &c) == 0) {
            struct answer *a = answer_finish(&w, digest, 1, 1, 1);
            found = i % 2 ? answer_ref(a) : NULL; /* to be read after it was added, or not */
            uint64_t epoch = memory_epoch(m);
            bool added = memory_add(m, a, epoch, place_of(number), STR("t"), STR("m"), 0);
            assert_true(added || memory_epoch(m) != epoch);
        }
        if (found) { /* whatever others have put into its place meanwhile */
            assert_memory_equal(found->digest, digest, sizeof(digest));
        }
        answer_drop(&w);
        answer_unref(found);
        if (i % 500 == 0) {
            (void)memory_drop(m, STR("t"), STR("m"));
        }
    }
    return NULL;
}

static void threads_may_use_it_together(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    struct memory *m = create(10 * ANSWER_BYTES); /* half of them: some go for others */
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, use_it, m), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_true(memory_count(m).entries <= 10);
    memory_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_used_goes_first),
        cmocka_unit_test(a_tenants_bytes_bound_it_and_nobody_else),
        cmocka_unit_test(bytes_stay_within_the_bound),
        cmocka_unit_test(old_answers_and_replaced_ones_are_gone),
        cmocka_unit_test(more_places_than_the_table_has_lines_for_are_told_apart),
        cmocka_unit_test(a_tenants_or_a_models_answers_are_dropped),
        cmocka_unit_test(what_was_asked_for_before_a_drop_is_not_added),
        cmocka_unit_test(a_place_has_one_answer_and_gives_it_to_its_own_request_only),
        cmocka_unit_test(another_place_of_the_same_entry_does_not_give_it),
        cmocka_unit_test(a_replaced_answer_is_written_over),
        cmocka_unit_test(who_takes_over_has_the_answers),
        cmocka_unit_test(threads_may_use_it_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
