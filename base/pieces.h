/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Small memory that a loop takes and gives back for every request.
 *
 * Why: libc keeps seven pieces of a size for a thread. A loop has dozens of requests at once, so
 * that most of them would go the long way through its heap, twice.
 * A thread that has begun keeps what it gives back, for itself; others, and whoever asks for more
 * than 2 KiB, get libc's. A piece may be given back by another thread. Bounds: 64 pieces of each of
 * 32 sizes for a thread. Threads: any. Errors: NULL, as malloc(). A sanitizer sees each piece. */
#include <stddef.h>

void weir_pieces_begin(void); /* of the calling thread; without memory nothing is kept */
void weir_pieces_end(void);

void *weir_pieces_take(size_t n_bytes);
void weir_pieces_give(void *piece, size_t n_bytes); /* as many as were asked for; NULL ok */
