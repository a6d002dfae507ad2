/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* JSON text written into a buffer of fixed size, with a sticky failure.
 *
 * Why: a record is written for every request; the buffer lies on the stack and the text is copied
 * once. Ownership: the caller's bytes. Threads: none. Bound: `cap`; what does not fit sets
 * `failed`. */
#include <stdbool.h>
#include <stdint.h>

#include "weir/types.h"

struct billing_text {
    char *bytes;
    size_t n, cap;
    bool failed;
};

void billing_text_add(struct billing_text *t, weir_str s);
static inline void billing_text_literal(struct billing_text *t, const char *s)
{
    billing_text_add(t, weir_str_from(s));
}
void billing_text_number(struct billing_text *t, int64_t v);
/* "value". Bytes that are no UTF-8 become '?'; at most max_bytes of the value are kept, cut between
 * characters. */
void billing_text_string(struct billing_text *t, weir_str value, size_t max_bytes);
/* ,"name": with a literal, so that its length is known. */
#define BILLING_NAME(t, name) billing_text_add((t), (weir_str)WEIR_STR_INIT(",\"" name "\":"))
/* Copies a text and its NUL; what does not fit is cut. For fields of fixed size, where snprintf
 * would cost more than the record. */
void billing_copy(char *to, size_t cap, weir_str from);
weir_str billing_text_view(const struct billing_text *t);
