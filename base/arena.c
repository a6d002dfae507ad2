/* SPDX-License-Identifier: Apache-2.0 */
#include "arena.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { ALIGN = 16, FIRST_BLOCK_BYTES = 2048, MAX_BLOCK_BYTES = 256 * 1024 };

struct weir_arena_block {
    struct weir_arena_block *older;
    size_t cap;  /* payload bytes */
    size_t used; /* payload bytes handed out */
    _Alignas(ALIGN) unsigned char data[];
};

void weir_arena_init(struct weir_arena *a, size_t limit_bytes)
{
    *a = (struct weir_arena){.limit_bytes = limit_bytes};
}

static void free_blocks(struct weir_arena_block *b)
{
    while (b) {
        struct weir_arena_block *older = b->older;
        free(b);
        b = older;
    }
}

void weir_arena_finish(struct weir_arena *a)
{
    free_blocks(a->head);
    a->head = NULL;
    a->used_bytes = 0;
}

void weir_arena_reset(struct weir_arena *a)
{
    if (!a->head) {
        return;
    }
    free_blocks(a->head->older);
    a->head->older = NULL;
    a->head->used = 0;
    a->used_bytes = sizeof(*a->head) + a->head->cap;
}

void weir_arena_recycle(struct weir_arena *a, size_t max_bytes)
{
    if (a->head && a->head->cap <= max_bytes) {
        weir_arena_reset(a);
    } else {
        weir_arena_finish(a);
    }
}

static struct weir_arena_block *add_block(struct weir_arena *a, size_t n_bytes)
{
    size_t cap = a->head ? a->head->cap * 2 : FIRST_BLOCK_BYTES;
    if (cap > MAX_BLOCK_BYTES) {
        cap = MAX_BLOCK_BYTES;
    }
    if (cap < n_bytes) {
        cap = n_bytes;
    }
    size_t left = a->limit_bytes - a->used_bytes;
    if (left < sizeof(struct weir_arena_block) ||
        left - sizeof(struct weir_arena_block) < n_bytes) {
        return NULL;
    }
    if (cap > left - sizeof(struct weir_arena_block)) {
        cap = left - sizeof(struct weir_arena_block);
    }
    struct weir_arena_block *b = malloc(sizeof(*b) + cap);
    if (!b) {
        return NULL;
    }
    *b = (struct weir_arena_block){.older = a->head, .cap = cap};
    a->head = b;
    a->used_bytes += sizeof(*b) + cap;
    return b;
}

static size_t round_up(size_t n_bytes)
{
    return (n_bytes + ALIGN - 1) / ALIGN * ALIGN;
}

void *weir_arena_take(struct weir_arena *a, size_t n_bytes)
{
    if (n_bytes > SIZE_MAX - ALIGN) {
        return NULL;
    }
    size_t rounded = round_up(n_bytes);
    struct weir_arena_block *b = a->head;
    if (!b || b->cap - b->used < rounded) {
        b = add_block(a, rounded);
        if (!b) {
            return NULL;
        }
    }
    void *p = b->data + b->used;
    b->used += rounded;
    return p;
}

void *weir_arena_alloc(struct weir_arena *a, size_t n_bytes)
{
    void *p = weir_arena_take(a, n_bytes);
    if (p) {
        memset(p, 0, n_bytes);
    }
    return p;
}

void *weir_arena_resize(struct weir_arena *a, void *piece, size_t old_bytes, size_t n_bytes)
{
    struct weir_arena_block *b = a->head;
    size_t old = round_up(old_bytes);
    bool is_newest = b && b->used >= old && (unsigned char *)piece == b->data + b->used - old;
    if (is_newest && n_bytes <= b->cap - (b->used - old)) {
        size_t used = b->used - old + round_up(n_bytes);
        b->used = used < b->cap ? used : b->cap;
        return piece;
    }
    if (n_bytes <= old) {
        return piece;
    }
    void *p = weir_arena_take(a, n_bytes);
    if (p) {
        memcpy(p, piece, old_bytes);
    }
    return p;
}

void *weir_arena_array(struct weir_arena *a, size_t n, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(n, size, &total)) {
        return NULL;
    }
    return weir_arena_alloc(a, total);
}

weir_str weir_arena_copy(struct weir_arena *a, weir_str s)
{
    char *p = s.n < SIZE_MAX ? weir_arena_take(a, s.n + 1) : NULL;
    if (!p) {
        return (weir_str){NULL, 0};
    }
    if (s.n) {
        memcpy(p, s.p, s.n);
    }
    p[s.n] = '\0';
    return (weir_str){p, s.n};
}

char *weir_arena_strdup(struct weir_arena *a, const char *text)
{
    return (char *)weir_arena_copy(a, weir_str_from(text)).p;
}

weir_str weir_arena_printf(struct weir_arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = n < 0 ? NULL : weir_arena_alloc(a, (size_t)n + 1);
    if (p) {
        (void)vsnprintf(p, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    return p ? (weir_str){p, (size_t)n} : (weir_str){NULL, 0};
}
