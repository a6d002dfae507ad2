/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Bump allocator with one lifetime and a hard byte limit.
 *
 * Why: a request's pieces die together; one finish frees them all and nothing is freed singly.
 * Ownership: the arena owns every pointer that it returns, until reset or finish.
 * Threads: none; one owner at a time.
 * Errors: NULL when the limit or memory is used up; the arena stays usable.
 * Invariant: used_bytes <= limit_bytes. */
#include "weir/types.h"

struct weir_arena_block;

struct weir_arena {
    struct weir_arena_block *head; /* newest block; older ones behind it */
    size_t used_bytes;             /* bytes held in blocks, headers included */
    size_t limit_bytes;
};

void weir_arena_init(struct weir_arena *a, size_t limit_bytes);
void weir_arena_finish(struct weir_arena *a);
/* Forgets everything but keeps the newest block for reuse. */
void weir_arena_reset(struct weir_arena *a);
/* The same for an arena that will serve again later: keeps the newest block if it has at most
 * max_bytes, else nothing. */
void weir_arena_recycle(struct weir_arena *a, size_t max_bytes);

/* 16-byte aligned, zeroed. */
void *weir_arena_alloc(struct weir_arena *a, size_t n_bytes);
/* The same, not zeroed. */
void *weir_arena_take(struct weir_arena *a, size_t n_bytes);
/* Gives a piece of old_bytes from weir_arena_take() another size, in its place where it is the
 * newest and there is room. What is new in it is not zeroed. */
void *weir_arena_resize(struct weir_arena *a, void *piece, size_t old_bytes, size_t n_bytes);
/* n * size with overflow check, zeroed. */
void *weir_arena_array(struct weir_arena *a, size_t n, size_t size);
/* A NUL-ended copy; .p is NULL on failure. */
weir_str weir_arena_copy(struct weir_arena *a, weir_str s);
char *weir_arena_strdup(struct weir_arena *a, const char *text);
weir_str weir_arena_printf(struct weir_arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
