/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* How many of a response's tokens the client's socket has taken.
 *
 * Why: usage is billed by what was delivered. Tokens become bytes of the connection; when the
 * kernel has taken all bytes of a piece, the tokens of that piece are delivered. Use: note() after
 * each piece was handed to the exchange, with the connection's position behind it and the tokens
 * given so far; taken() with the position that the kernel has reached. Bound: WEIR_DELIVERY_PIECES
 * pieces under way; a further one is joined to the last, so its tokens count when both have been
 * taken. Threads: the request's loop. */
#include <stdbool.h>
#include <stdint.h>

enum { WEIR_DELIVERY_PIECES = 16 };

struct weir_delivery {
    uint32_t first, n;
    uint64_t n_delivered;
    struct {
        uint64_t end;               /* position behind the piece's last byte */
        uint64_t n_tokens;          /* of the response, up to there */
    } pieces[WEIR_DELIVERY_PIECES]; /* a ring, oldest at `first`; where it is empty, that is 0 */
};

void weir_delivery_note(struct weir_delivery *d, uint64_t end, uint64_t n_tokens);
/* True when n_delivered has grown. */
bool weir_delivery_taken(struct weir_delivery *d, uint64_t position);
