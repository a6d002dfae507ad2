/* SPDX-License-Identifier: Apache-2.0 */
/* Steady-state decode makes no malloc, with everything on that a stream can ask for. */
#include <stdlib.h>

#include "rig.h"
#include "tests/support/cmocka.h"

/* The linker routes the engine's calls here (-Wl,--wrap). */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static uint64_t n_allocations;

void *__wrap_malloc(size_t n)
{
    n_allocations++;
    return __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    n_allocations++;
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    n_allocations++;
    return __real_realloc(p, n);
}

/* Takes chunks without keeping them: the fake sink's own memory must not be counted. */
static int push(const weir_sink *sink, weir_ticket ticket, const weir_chunk *chunk)
{
    (void)sink;
    (void)ticket;
    (void)chunk;
    return 0;
}

static void decoding_makes_no_allocation(void **state)
{
    (void)state;
    static struct rig r;
    rig_init(&r);
    rig_open(&r);
    int (*keep)(const weir_sink *, weir_ticket, const weir_chunk *) = r.sink->sink.push;
    r.sink->sink.push = push;
    for (uint32_t i = 0; i < 8; i++) {
        weir_generation g = rig_completion("a prompt to begin with", 2000);
        g.ignore_eos = 1;
        g.want_logprobs = i % 2;
        g.n_top = i % 2 ? 20 : 0;
        g.stop[0] = weir_str_from("never said \x01");
        g.n_stop = 1;
        g.sampling.temperature = 1;
        g.sampling.seed = i;
        rig_add(&r, &g);
    }
    rig_run(&r, 50);
    uint64_t before = n_allocations;
    assert_true(before > 0);
    assert_int_equal(rig_run(&r, 1000), 1000);
    assert_int_equal(n_allocations - before, 0);

    r.sink->sink.push = keep;
    weir_scheduler_abort(r.scheduler, WEIR_E_CANCELLED, "the test is over");
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoding_makes_no_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
