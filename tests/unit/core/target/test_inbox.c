/* SPDX-License-Identifier: Apache-2.0 */
#include "core/target/inbox.h"

#include "tests/support/cmocka.h"

enum { N_ITEMS = 4 };

struct counted {
    struct weir_inbox_item item;
    struct weir_inbox *inbox;
    struct weir_inbox_item *to_post, *to_withdraw; /* what its run does; NULL: nothing */
    int n_runs;
};

struct fixture {
    uv_loop_t loop;
    struct weir_inbox inbox;
    struct counted items[N_ITEMS];
};

static void count_run(struct weir_inbox_item *item)
{
    struct counted *c = (struct counted *)(void *)item;
    c->n_runs++;
    if (c->to_withdraw) {
        weir_inbox_withdraw(c->inbox, c->to_withdraw);
    }
    if (c->to_post) {
        weir_inbox_post(c->inbox, c->to_post);
        weir_inbox_wake(c->inbox);
    }
}

static void set_up(struct fixture *f)
{
    *f = (struct fixture){0};
    assert_int_equal(uv_loop_init(&f->loop), 0);
    assert_int_equal(weir_inbox_init(&f->inbox, &f->loop), 0);
    for (int i = 0; i < N_ITEMS; i++) {
        f->items[i] = (struct counted){.item = {.run = count_run}, .inbox = &f->inbox};
    }
}

static void tear_down(struct fixture *f)
{
    weir_inbox_finish(&f->inbox);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
}

static void post_all(struct fixture *f)
{
    for (int i = 0; i < N_ITEMS; i++) {
        weir_inbox_post(&f->inbox, &f->items[i].item);
    }
    weir_inbox_wake(&f->inbox);
}

static void an_item_posted_twice_runs_once(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    post_all(&f);
    post_all(&f);
    (void)uv_run(&f.loop, UV_RUN_NOWAIT);
    for (int i = 0; i < N_ITEMS; i++) {
        assert_int_equal(f.items[i].n_runs, 1);
    }
    tear_down(&f);
}

static void a_withdrawn_item_does_not_run_and_its_neighbours_do(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    for (int gone = 0; gone < N_ITEMS; gone++) {
        post_all(&f);
        weir_inbox_withdraw(&f.inbox, &f.items[gone].item);
        weir_inbox_withdraw(&f.inbox, &f.items[gone].item);
        f.items[gone].item = (struct weir_inbox_item){.run = count_run}; /* used anew */
        (void)uv_run(&f.loop, UV_RUN_NOWAIT);
        for (int i = 0; i < N_ITEMS; i++) {
            assert_int_equal(f.items[i].n_runs, i == gone ? 0 : 1);
            f.items[i].n_runs = 0;
        }
    }
    tear_down(&f);
}

static void an_item_can_be_withdrawn_by_one_that_runs_before_it(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    f.items[0].to_withdraw = &f.items[2].item;
    post_all(&f);
    (void)uv_run(&f.loop, UV_RUN_NOWAIT);
    assert_int_equal(f.items[1].n_runs, 1);
    assert_int_equal(f.items[2].n_runs, 0);
    assert_int_equal(f.items[3].n_runs, 1);
    tear_down(&f);
}

static void an_item_that_posts_itself_lets_the_loop_turn(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    f.items[0].to_post = &f.items[0].item;
    post_all(&f);
    (void)uv_run(&f.loop, UV_RUN_NOWAIT);
    assert_int_equal(f.items[0].n_runs, 1);
    assert_int_equal(f.items[3].n_runs, 1);
    f.items[0].to_post = NULL;
    (void)uv_run(&f.loop, UV_RUN_NOWAIT);
    assert_int_equal(f.items[0].n_runs, 2);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_item_posted_twice_runs_once),
        cmocka_unit_test(a_withdrawn_item_does_not_run_and_its_neighbours_do),
        cmocka_unit_test(an_item_can_be_withdrawn_by_one_that_runs_before_it),
        cmocka_unit_test(an_item_that_posts_itself_lets_the_loop_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
