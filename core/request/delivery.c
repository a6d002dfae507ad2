/* SPDX-License-Identifier: Apache-2.0 */
#include "core/request/delivery.h"

void weir_delivery_note(struct weir_delivery *d, uint64_t end, uint64_t n_tokens)
{
    if (d->n < WEIR_DELIVERY_PIECES) {
        d->n++;
    }
    uint32_t last = (d->first + d->n - 1) % WEIR_DELIVERY_PIECES;
    d->pieces[last].end = end;
    d->pieces[last].n_tokens = n_tokens;
}

bool weir_delivery_taken(struct weir_delivery *d, uint64_t position)
{
    uint64_t before = d->n_delivered;
    while (d->n > 0 && d->pieces[d->first].end <= position) {
        d->n_delivered = d->pieces[d->first].n_tokens;
        d->first = (d->first + 1) % WEIR_DELIVERY_PIECES;
        d->n--;
    }
    if (d->n == 0) {
        d->first = 0; /* a client that keeps up needs one line of memory */
    }
    return d->n_delivered != before;
}
