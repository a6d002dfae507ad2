/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Tickets of suspended hooks: values that end once, by resume, timeout or cancel.
 *
 * Why: plugins resume late, twice or from other threads; a pointer would dangle (redis#14677). A
 * ticket is slot and generation; a stale one is recognised and refused.
 * Ownership: the table owns slots and the copy of the data until the callback has returned.
 * Threads: open and cancel on the loop given to open; resume [any].
 * Errors: WEIR_E_GONE for a stale ticket; WEIR_E_TOOBIG, WEIR_E_NOMEM for the data's copy (the
 * ticket stays valid); 0 from open when WEIR_TICKETS_MAX are open.
 * Invariant: `ended` is called exactly once per ticket unless it was cancelled, on its loop, never
 * from within open or resume. */
#include "core/plugin/loop.h"
#include "weir/host.h"

enum {
    WEIR_TICKETS_MAX = 65536,
    WEIR_TICKET_MAX_DATA_BYTES = 1024 * 1024,
    WEIR_TICKET_MAX_TIMEOUT_MS = 60000,
};

struct weir_tickets;

/* rc and data of the resume, or WEIR_E_TIMEOUT and no data. */
typedef void (*weir_ticket_ended)(void *arg, int rc, weir_str data);

int weir_tickets_create(struct weir_tickets **ret_tickets);
/* Every loop that had tickets has stopped turning. */
void weir_tickets_destroy(struct weir_tickets *ts);

weir_ticket weir_tickets_open(struct weir_tickets *ts, struct weir_plugin_loop *loop,
                              uint32_t timeout_ms, weir_ticket_ended ended, void *arg);
int weir_tickets_resume(struct weir_tickets *ts, weir_ticket ticket, int rc, weir_str data);
void weir_tickets_cancel(struct weir_tickets *ts, weir_ticket ticket); /* stale or 0: nothing */
size_t weir_tickets_n_open(struct weir_tickets *ts);
