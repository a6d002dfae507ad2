/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Small memory that a loop takes and gives back for every request.
 *
 * Why: libc keeps seven pieces of a size for a thread. A loop has dozens of requests at once, so
 * that most of them would go the long way through its heap, twice.
 * Whoever has a struct weir_pieces keeps in it what is given back; without one, and for more than
 * 2 KiB, there are libc's. A piece may be given back to another one, or to none. Bounds: 64 pieces
 * of each of 32 sizes. Ownership: the caller's struct, all zero at first. Threads: one at a time.
 * Errors: NULL, as malloc(). A sanitizer sees each piece. */
#include <stddef.h>
#include <stdint.h>

enum { WEIR_PIECES_SIZES = 32 };

struct weir_piece;
struct weir_pieces {
    struct weir_piece *first[WEIR_PIECES_SIZES];
    uint32_t n[WEIR_PIECES_SIZES];
};

void weir_pieces_finish(struct weir_pieces *kept); /* frees what it keeps */

void *weir_pieces_take(struct weir_pieces *kept, size_t n_bytes); /* kept: NULL ok, in both */
/* As many bytes as were asked for; piece: NULL ok. */
void weir_pieces_give(struct weir_pieces *kept, void *piece, size_t n_bytes);
