/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The store under test, and calls of it that wait for their answer. */
#include <stdio.h>

#include "suite.h"
#include "tests/support/cmocka.h"

enum { SECOND = 1000000, MAX_SEEN = 64 };

/* A copy of a result: the original is borrowed. */
struct answer {
    int done; /* calls of `done` */
    int rc;
    int64_t number;
    uint64_t retry_after_us;
    uint32_t refused_by, n_left, n_items, more;
    weir_store_left left[WEIR_STORE_MAX_LEVELS];
    size_t value_len;
    char value[256]; /* cut; NUL-ended */
    struct {
        char key[64], value[64]; /* cut; NUL-ended */
        size_t value_len;
        uint64_t number;
    } items[MAX_SEEN];
};

extern const struct store_driver *fixture_driver;
extern struct weir_store *fixture_store;

int fixture_set_up(void **state);
int fixture_tear_down(void **state);
void fixture_advance(uint64_t us);
/* Waits for messages or answers. */
void fixture_run_until(const int *done);

/* The call's answer; fails the test when it was refused at once. */
struct answer *fixture_call(const struct weir_store_call *call);
/* What weir_store_call() returned; fails the test when `done` was called. */
int fixture_refusal(const struct weir_store_call *call);

#define CALL(...) fixture_call(&(struct weir_store_call){__VA_ARGS__})
#define REFUSAL(...) fixture_refusal(&(struct weir_store_call){__VA_ARGS__})

static inline weir_str text(const char *s)
{
    return weir_str_from(s);
}

#define ACME .tenant = WEIR_STR_INIT("acme")
#define OTHER .tenant = WEIR_STR_INIT("other")

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

/* The parts of the suite: each returns the number of tests that failed. */
int suite_limits(void);
int suite_budgets(void);
int suite_values(void);
int suite_records(void);
int suite_jobs(void);
int suite_messages(void);
