/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cpu/linear/linear.h"

#include <stdbool.h>

#include "backends/cpu/linear/tile.h"

void weir_cpu_linear(const struct weir_cpu_matrix *m, uint32_t tile_begin, uint32_t tile_end,
                     const struct weir_cpu_act *a, uint32_t n_tokens, float *y, size_t ldy)
{
    for (uint32_t i = 0; i < m->n_segments; i++) {
        const struct weir_cpu_segment *s = &m->segments[i];
        uint32_t begin = tile_begin > s->tile_begin ? tile_begin : s->tile_begin;
        uint32_t last = s->tile_begin + s->n_tiles;
        uint32_t end = tile_end < last ? tile_end : last;
        if (begin >= end) {
            continue;
        }
        uint32_t row = (begin - s->tile_begin) * m->isa->tile_rows;
        uint32_t row_end = (end - s->tile_begin) * m->isa->tile_rows;
        struct weir_cpu_span span = {
            .tiles = s->tiles + (begin - s->tile_begin) * s->tile_bytes,
            .tile_bytes = s->tile_bytes,
            .n_tiles = end - begin,
            .n_rows = (row_end < s->n_rows ? row_end : s->n_rows) - row,
            .n_cols = m->n_cols,
        };
        float *out = y + s->row_begin + row;
        m->isa->span[s->type](&span, a, n_tokens, out, ldy);
        bool is_quantised = weir_cpu_tile_format(s->type)->kind != WEIR_CPU_TILE_FLOAT;
        if (m->outliers.n > 0 && is_quantised) {
            m->isa->add_outliers(&m->outliers, s->row_begin + row, span.n_rows, a->outliers,
                                 n_tokens, out, ldy);
        }
    }
}
