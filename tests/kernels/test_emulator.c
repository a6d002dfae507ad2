/* SPDX-License-Identifier: Apache-2.0 */
/* The emulator itself, with kernels written against its own side of gpu.h. */
#include <string.h>

#include "kernels/emu/emu.h"
#include "kernels/emu/emu_thread.h"
#include "tests/support/cmocka.h"

enum { THREADS = 128, BLOCKS = 3 };

struct args {
    uint32_t *out; /* [BLOCKS][THREADS] */
    uint32_t *count;
};

static uint32_t *mine(const struct args *a)
{
    return &a->out[weir_emu_self->block[0] * THREADS + weir_emu_self->thread];
}

/* Which of the block's threads comes when. */
static void note_order(const void *args)
{
    const struct args *a = args;
    uint32_t *count = &a->count[weir_emu_self->block[0]];
    *mine(a) = (*count)++;
}

static void pass_on(const void *args)
{
    const struct args *a = args;
    uint32_t thread = weir_emu_self->thread;
    uint32_t *shared = weir_emu_self->shared;
    shared[thread] = thread;
    weir_emu_barrier();
    uint32_t v = shared[THREADS - 1 - thread];
    for (uint32_t i = 0; i < 3; i++) {
        v = (uint32_t)weir_emu_exchange(v, (thread + 1) % 32);
    }
    *mine(a) = v;
}

static void vote(const void *args)
{
    uint64_t mask = weir_emu_ballot(weir_emu_self->thread % 3 == 0, 64);
    *mine(args) = (uint32_t)(mask >> 32 ^ mask);
}

static void look_at_shared(const void *args)
{
    *mine(args) = ((uint32_t *)weir_emu_self->shared)[weir_emu_self->thread];
}

static void skip_a_barrier(const void *args)
{
    (void)args;
    if (weir_emu_self->thread != 5) {
        weir_emu_barrier();
    }
}

static void load_misaligned(const void *args)
{
    weir_emu_check_aligned((const char *)((const struct args *)args)->out + 2, 4);
}

static int run(void (*entry)(const void *), uint64_t seed, uint32_t *out, struct weir_error *err)
{
    uint32_t count[BLOCKS] = {0};
    struct args args = {.out = out, .count = count};
    struct weir_emu_kernel kernel = {
        .name = "kernel", .lanes = 64, .entry = entry, .args_bytes = sizeof(args)};
    struct weir_gpu_launch launch = {.kernel = "kernel",
                                     .grid = {BLOCKS, 1, 1},
                                     .block = THREADS,
                                     .shared_bytes = THREADS * sizeof(uint32_t),
                                     .args = &args,
                                     .args_bytes = sizeof(args)};
    struct weir_emu_pool *pool;
    assert_int_equal(weir_emu_pool_create(2, &pool), 0);
    weir_emu_pool_seed(pool, seed);
    int rc = weir_emu_pool_run(pool, &kernel, &launch, err);
    if (rc < 0) {
        /* A failed launch leaves the pool as it was. */
        kernel.entry = look_at_shared;
        assert_int_equal(weir_emu_pool_run(pool, &kernel, &launch, NULL), 0);
    }
    weir_emu_pool_destroy(pool);
    return rc;
}

static void order_depends_on_the_seed_alone(void **state)
{
    (void)state;
    uint32_t a[BLOCKS * THREADS], b[BLOCKS * THREADS], c[BLOCKS * THREADS];

    assert_int_equal(run(note_order, 1, a, NULL), 0);
    assert_int_equal(run(note_order, 1, b, NULL), 0);
    assert_int_equal(run(note_order, 2, c, NULL), 0);

    assert_memory_equal(a, b, sizeof(a));
    assert_true(memcmp(a, c, sizeof(a)) != 0);
}

static void barriers_and_exchanges_pass_values(void **state)
{
    (void)state;
    uint32_t out[BLOCKS * THREADS];
    for (uint64_t seed = 0; seed < 20; seed++) {
        assert_int_equal(run(pass_on, seed, out, NULL), 0);
        for (uint32_t i = 0; i < BLOCKS * THREADS; i++) {
            uint32_t thread = i % THREADS;
            uint32_t from = thread / 32 * 32 + (thread + 3) % 32;
            assert_int_equal(out[i], THREADS - 1 - from);
        }
    }
}

static void votes_are_those_of_the_whole_wave(void **state)
{
    (void)state;
    uint32_t out[BLOCKS * THREADS];
    assert_int_equal(run(vote, 7, out, NULL), 0);
    for (uint32_t i = 0; i < THREADS; i++) {
        uint64_t mask = 0;
        for (uint32_t lane = 0; lane < 64; lane++) {
            mask |= (uint64_t)((i / 64 * 64 + lane) % 3 == 0) << lane;
        }
        assert_int_equal(out[i], (uint32_t)(mask >> 32 ^ mask));
    }
}

static void shared_memory_starts_as_nans(void **state)
{
    (void)state;
    uint32_t out[BLOCKS * THREADS];
    assert_int_equal(run(look_at_shared, 0, out, NULL), 0);
    for (uint32_t i = 0; i < BLOCKS * THREADS; i++) {
        assert_int_equal(out[i], 0xFFFFFFFFu);
    }
}

static void a_skipped_barrier_is_named(void **state)
{
    (void)state;
    uint32_t out[BLOCKS * THREADS];
    struct weir_error err = {0};
    assert_int_equal(run(skip_a_barrier, 0, out, &err), WEIR_E_DEVICE);
    assert_non_null(strstr(err.message, "barrier counts differ"));
}

static void a_misaligned_access_is_named(void **state)
{
    (void)state;
    uint32_t out[BLOCKS * THREADS];
    struct weir_error err = {0};
    assert_int_equal(run(load_misaligned, 0, out, &err), WEIR_E_DEVICE);
    assert_non_null(strstr(err.message, "misaligned"));
}

static void impossible_launches_are_refused(void **state)
{
    (void)state;
    struct weir_emu_pool *pool;
    struct weir_emu_kernel kernel = {.name = "kernel", .lanes = 64, .entry = vote};
    struct weir_gpu_launch launch = {.grid = {1, 1, 1}, .block = 32};
    assert_int_equal(weir_emu_pool_create(1, &pool), 0);
    assert_int_equal(weir_emu_pool_run(pool, &kernel, &launch, NULL), WEIR_E_ARG);
    launch.block = 2048;
    assert_int_equal(weir_emu_pool_run(pool, &kernel, &launch, NULL), WEIR_E_ARG);
    launch.block = 64;
    launch.grid[1] = 0;
    assert_int_equal(weir_emu_pool_run(pool, &kernel, &launch, NULL), WEIR_E_ARG);
    weir_emu_pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_depends_on_the_seed_alone),
        cmocka_unit_test(barriers_and_exchanges_pass_values),
        cmocka_unit_test(votes_are_those_of_the_whole_wave),
        cmocka_unit_test(shared_memory_starts_as_nans),
        cmocka_unit_test(a_skipped_barrier_is_named),
        cmocka_unit_test(a_misaligned_access_is_named),
        cmocka_unit_test(impossible_launches_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
