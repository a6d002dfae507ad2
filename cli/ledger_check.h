/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Judges a ledger: no gap, nothing twice, every amount that of its tokens and its price.
 *
 * Use: first() for every entry, then, if needs_second(), second() for every entry again: chains
 * with adjustments are only known after the first reading. Then finish(). Problems are reported as
 * they are found, as sentences. Bound: 16 bytes per entry, and what adjusted chains need. Threads:
 * none. Errors: WEIR_E_NOMEM. */
#include <stdbool.h>

#include "cli/ledger.h"

struct weir_ledger_check;

int weir_ledger_check_create(void (*report)(void *arg, const char *problem), void *arg,
                             struct weir_ledger_check **ret_check);
void weir_ledger_check_destroy(struct weir_ledger_check *check); /* NULL ok */
int weir_ledger_check_first(struct weir_ledger_check *check, const struct weir_ledger_entry *entry);
bool weir_ledger_check_needs_second(const struct weir_ledger_check *check);
int weir_ledger_check_second(struct weir_ledger_check *check,
                             const struct weir_ledger_entry *entry);
/* How many problems there were in all. */
uint64_t weir_ledger_check_finish(struct weir_ledger_check *check);
