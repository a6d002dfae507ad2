/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Ledger entries as lines: JSON with their place, or CSV (RFC 4180).
 *
 * CSV texts that a spreadsheet would take for a formula (= + - @, tab) get an apostrophe before
 * them: request ids, users and keys come from clients. Threads: none. */
#include "text.h"

enum { BILLING_CSV_HEAD_BYTES = 512 };

void billing_row_csv_head(struct billing_text *t);
/* WEIR_E_FORMAT: no entry. `t->failed`: it did not fit, and t->n is as before. */
int billing_row_csv(struct billing_text *t, uint64_t place, weir_str entry);
void billing_row_json(struct billing_text *t, uint64_t place, weir_str entry);
/* When the request began, 0 when it is no entry. */
uint64_t billing_row_started_us(weir_str entry);
