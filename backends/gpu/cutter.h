/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Hands out aligned pieces of one allocation; with base NULL it only counts. Sizes are so stated
 * once, for planning and for cutting. A value. */
#include <stddef.h>
#include <stdint.h>

struct weir_gpu_cutter {
    uint8_t *base;
    uint64_t used_bytes;
};

static inline void *weir_gpu_cut(struct weir_gpu_cutter *c, uint64_t n, uint64_t size)
{
    enum { ALIGN = 256 };
    void *piece = c->base ? c->base + c->used_bytes : NULL;
    c->used_bytes += (n * size + ALIGN - 1) / ALIGN * ALIGN;
    return piece;
}
