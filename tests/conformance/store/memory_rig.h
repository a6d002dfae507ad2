/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Stores of the memory driver under a clock that the test moves, for what the driver alone has. One
 * clock and one tenant for all stores. */
#include "core/store/memory.h"
#include "tests/support/cmocka.h"

extern const weir_str rig_tenant;

struct weir_store *rig_create(size_t max_entries); /* 0: no bound of entries */
void rig_wait(uint64_t us);                        /* [any-thread] */
/* 0 to n - 1, the same numbers in every run. */
uint64_t rig_below(uint64_t n);
