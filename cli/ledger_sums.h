/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Sums of ledger entries by model, key, user and currency.
 *
 * Ownership: destroy() frees all. Threads: none. Errors: add() gives WEIR_E_NOMEM. Bound: one group
 * per model, key and user that occurs. */
#include "cli/ledger.h"

enum weir_ledger_group { WEIR_LEDGER_TOTAL, WEIR_LEDGER_MODEL, WEIR_LEDGER_KEY, WEIR_LEDGER_USER };

struct weir_ledger_sum {
    enum weir_ledger_group group;
    char *name, *currency;
    struct weir_ledger_totals totals;
};

struct weir_ledger_sums;

int weir_ledger_sums_create(struct weir_ledger_sums **ret_sums);
void weir_ledger_sums_destroy(struct weir_ledger_sums *sums); /* NULL ok */
int weir_ledger_sums_add(struct weir_ledger_sums *sums, const struct weir_ledger_entry *entry);
/* In the order of group, name and currency. */
void weir_ledger_sums_each(const struct weir_ledger_sums *sums,
                           void (*each)(void *arg, const struct weir_ledger_sum *sum), void *arg);
void weir_ledger_totals_add(struct weir_ledger_totals *to, const struct weir_ledger_totals *more);
