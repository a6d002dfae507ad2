/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A tenant's ledger, read line by line from a daemon's GET /admin/v1/usage.
 *
 * Ownership: texts of an entry are borrowed until the callback returns. Threads: [main].
 * Errors: a sentence; WEIR_E_IO for an answer that is no page of a ledger. Bound: one page in
 * memory, 2 MiB. */
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct weir_ledger_totals {
    int64_t requests, prompt, cached, completion, delivered, gpu_us, amount; /* micro-units */
};

struct weir_ledger_price {
    bool is_there;
    uint64_t prompt, cached, completion, request, gpu_second;
};

struct weir_ledger_entry {
    uint64_t place;
    const char *month, *id, *type, *tenant, *key, *user, *model, *currency;
    int64_t seq;
    struct weir_ledger_price price;
    struct weir_ledger_totals add;
};

struct weir_args;

struct weir_ledger_source {
    const struct weir_args *args; /* has --admin */
    const char *tenant;
    const char *month, *from, *to; /* NULL: not given */
};

/* Calls `each` for every entry in order; a negative return ends with it. */
int weir_ledger_read(const struct weir_ledger_source *source,
                     int (*each)(void *arg, const struct weir_ledger_entry *entry), void *arg,
                     struct weir_error *err);
/* The pages as they are, in the given format ("csv", "jsonl"). */
int weir_ledger_copy(const struct weir_ledger_source *source, const char *format,
                     int (*take)(void *arg, weir_str page), void *arg, struct weir_error *err);
