/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Where encoders put ids: counts all, keeps what fits. Caller's storage; one owner. */
#include <stddef.h>
#include <stdint.h>

struct weir_token_sink {
    uint32_t *out;
    size_t cap;
    size_t n; /* also counts ids that did not fit */
};

static inline void weir_token_sink_add(struct weir_token_sink *s, uint32_t id)
{
    if (s->n < s->cap) {
        s->out[s->n] = id;
    }
    s->n++;
}
