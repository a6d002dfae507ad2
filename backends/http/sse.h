/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Takes a server-sent event stream apart into the data of its events.
 *
 * Why: bytes come in any pieces; an event is given out as soon as its empty line is there, and
 * where it lies whole in the input it is not copied. Source: HTML Living Standard, "Server-sent
 * events": LF, CR and CRLF end lines; several data lines are joined by LF; comments and other
 * fields are skipped; a byte order mark may come first. Bounds: an event's data and a line are at
 * most max_bytes: WEIR_E_TOOBIG. Threads: none. Ownership: given data is valid inside the callback.
 */
#include "base/buf.h"

struct weir_sse {
    struct weir_buf line; /* the beginning of a line that has not ended */
    struct weir_buf data; /* of the event that has not ended */
    bool has_data;
    bool skips_lf; /* a CR was the last byte */
    bool has_begun;
};

void weir_sse_init(struct weir_sse *sse, size_t max_bytes);
void weir_sse_finish(struct weir_sse *sse);
void weir_sse_reset(struct weir_sse *sse); /* for the next stream; keeps memory */

/* Calls on_event for each event that ends in the bytes. It returns 0 to go on, anything else to
 * stop. *ret_used: bytes used up, all of them unless it stopped. Returns 0, what on_event returned,
 * or WEIR_E_TOOBIG, WEIR_E_NOMEM. */
int weir_sse_feed(struct weir_sse *sse, const char *bytes, size_t n,
                  int (*on_event)(void *arg, weir_str data), void *arg, size_t *ret_used);
