/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What every driver of weir.store/1 must do, as cmocka tests.
 *
 * Use: fill a struct store_driver and call store_suite_run(). Each test gets an empty store.
 * A driver with a clock of its own (a server) gives `advance` that really waits; intervals in the
 * suite are multiples of 100 ms so that it stays usable. */
#include "core/store/store.h"

struct store_driver {
    int (*open)(struct weir_store **ret_store); /* empty */
    void (*close)(struct weir_store *store);
    void (*advance)(uint64_t us); /* lets at least so much time pass */
    uint64_t (*now_us)(void);     /* of the clock that advance() moves */
    /* Runs the driver's loop until *done; NULL when operations finish before they return. */
    void (*run_until)(const int *done);
};

/* Exit status of the test program. */
int store_suite_run(const struct store_driver *driver);
