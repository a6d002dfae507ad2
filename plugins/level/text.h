/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Text into a caller's buffer, without allocation and without printf: headers are built for every
 * request. What does not fit is cut. Threads: any. */
#include <stddef.h>
#include <stdint.h>

#include "weir/types.h"

struct text {
    char *p;
    size_t n, cap;
};

static inline struct text text_on(char *buffer, size_t cap)
{
    struct text t = {buffer, 0, cap};
    return t;
}

static inline weir_str text_view(const struct text *t)
{
    weir_str s = {t->p, t->n};
    return s;
}

void text_add(struct text *t, weir_str s);
void text_add_char(struct text *t, char c);
void text_add_u64(struct text *t, uint64_t number);
/* "6m0s", "1s", "20ms": durations as OpenAI writes them, rounded up to milliseconds. */
void text_add_duration(struct text *t, uint64_t us);
/* Microseconds as whole seconds, rounded up. */
void text_add_seconds(struct text *t, uint64_t us);
/* In JSON quotes. */
void text_add_json(struct text *t, weir_str s);
/* A literal. */
#define TEXT_ADD(t, literal) text_add((t), (weir_str)WEIR_STR_INIT(literal))
/* What a store's answer means that is none: "the store is full; ". */
void text_add_store_loss(struct text *t, int rc);
