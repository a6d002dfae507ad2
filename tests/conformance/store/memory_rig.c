/* SPDX-License-Identifier: Apache-2.0 */
#include "memory_rig.h"

#include <stdatomic.h>

const weir_str rig_tenant = WEIR_STR_INIT("acme");

static _Atomic uint64_t now = 1000000;

static uint64_t now_us(void *arg)
{
    (void)arg;
    return atomic_load(&now);
}

struct weir_store *rig_create(size_t max_entries)
{
    struct weir_store *s = NULL;
    assert_int_equal(
        weir_store_memory_create(
            &(struct weir_store_memory_options){.max_entries = max_entries, .now_us = now_us}, &s),
        0);
    return s;
}

void rig_wait(uint64_t us)
{
    atomic_fetch_add(&now, us);
}

uint64_t rig_below(uint64_t n)
{
    static uint64_t state = 7;
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (state >> 33) % n;
}
