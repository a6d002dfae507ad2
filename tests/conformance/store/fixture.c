/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <string.h>

const struct store_driver *fixture_driver;
struct weir_store *fixture_store;

int fixture_set_up(void **state)
{
    (void)state;
    return fixture_driver->open(&fixture_store);
}

int fixture_tear_down(void **state)
{
    (void)state;
    fixture_driver->close(fixture_store);
    return 0;
}

void fixture_advance(uint64_t us)
{
    fixture_driver->advance(us);
}

void fixture_run_until(const int *done)
{
    if (fixture_driver->run_until) {
        fixture_driver->run_until(done);
    } else {
        weir_store_turn(fixture_store);
    }
}

static void copy(char *to, size_t cap, weir_str from)
{
    size_t n = from.n < cap - 1 ? from.n : cap - 1;
    if (n) {
        memcpy(to, from.p, n);
    }
    to[n] = '\0';
}

static void on_done(void *arg, const weir_store_result *r)
{
    struct answer *a = arg;
    assert_int_equal(r->struct_size, sizeof(*r));
    a->done++;
    a->rc = r->rc;
    a->number = r->number;
    a->retry_after_us = r->retry_after_us;
    a->refused_by = r->refused_by;
    a->n_left = r->n_left;
    a->n_items = r->n_items;
    a->more = r->more;
    for (uint32_t i = 0; i < r->n_left && i < WEIR_STORE_MAX_LEVELS; i++) {
        a->left[i] = r->left[i];
    }
    a->value_len = r->value.n;
    copy(a->value, sizeof(a->value), r->value);
    for (uint32_t i = 0; i < r->n_items && i < MAX_SEEN; i++) {
        copy(a->items[i].key, sizeof(a->items[i].key), r->items[i].key);
        copy(a->items[i].value, sizeof(a->items[i].value), r->items[i].value);
        a->items[i].value_len = r->items[i].value.n;
        a->items[i].number = r->items[i].number;
    }
}

struct answer *fixture_call(const struct weir_store_call *call)
{
    static struct answer answer;
    answer = (struct answer){0};
    assert_int_equal(weir_store_call(fixture_store, call, on_done, &answer), 0);
    if (!answer.done) {
        fixture_run_until(&answer.done);
    }
    assert_int_equal(answer.done, 1);
    return &answer;
}

int fixture_refusal(const struct weir_store_call *call)
{
    struct answer answer = {0};
    int rc = weir_store_call(fixture_store, call, on_done, &answer);
    assert_int_equal(answer.done, 0);
    return rc;
}
