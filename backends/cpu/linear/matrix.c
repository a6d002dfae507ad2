/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cpu/linear/matrix.h"

#include <string.h>

#include "backends/cpu/linear/isa.h"
#include "backends/cpu/linear/tile.h"

int weir_cpu_type_fits(uint32_t type, uint32_t n_cols)
{
    const struct weir_cpu_tile_format *f = weir_cpu_tile_format(type);
    if (!f || n_cols == 0) {
        return 0;
    }
    return f->kind == WEIR_CPU_TILE_FLOAT || n_cols % (32u * f->source_cols) == 0;
}

int weir_cpu_matrix_init(struct weir_cpu_matrix *m, const struct weir_cpu_isa *isa, uint32_t n_cols,
                         const struct weir_cpu_tensor *tensors, uint32_t n_tensors,
                         struct weir_error *err)
{
    if (n_tensors == 0 || n_tensors > WEIR_CPU_SEGMENTS_MAX) {
        return weir_error_set(err, WEIR_E_ARG, "a matrix takes 1 to %d tensors, not %u",
                              WEIR_CPU_SEGMENTS_MAX, n_tensors);
    }
    *m = (struct weir_cpu_matrix){.isa = isa, .n_cols = n_cols, .n_segments = n_tensors};
    for (uint32_t i = 0; i < n_tensors; i++) {
        const struct weir_cpu_tensor *t = &tensors[i];
        if (!weir_cpu_type_fits(t->type, n_cols)) {
            return weir_error_set(err, WEIR_E_UNSUPPORTED,
                                  "the CPU has no kernel for weight type %u with %u columns",
                                  t->type, n_cols);
        }
        if (t->n_rows == 0 || t->n_rows > INT32_MAX - m->n_rows) {
            return weir_error_set(err, WEIR_E_ARG, "a weight tensor has %u rows", t->n_rows);
        }
        struct weir_cpu_segment *s = &m->segments[i];
        *s = (struct weir_cpu_segment){
            .type = t->type,
            .n_rows = t->n_rows,
            .row_begin = m->n_rows,
            .tile_begin = m->n_tiles,
            .n_tiles = (t->n_rows + isa->tile_rows - 1) / isa->tile_rows,
            .source_row_bytes = weir_tensor_row_bytes(t->type, n_cols),
            .tile_bytes = weir_cpu_tile_bytes(t->type, n_cols, isa->tile_rows),
            .source = t->data,
        };
        m->n_rows += s->n_rows;
        m->n_tiles += s->n_tiles;
        m->size_bytes += s->n_tiles * s->tile_bytes;
    }
    return 0;
}

void weir_cpu_matrix_bind(struct weir_cpu_matrix *m, void *storage)
{
    uint8_t *p = storage;
    for (uint32_t i = 0; i < m->n_segments; i++) {
        m->segments[i].tiles = p;
        p += m->segments[i].n_tiles * m->segments[i].tile_bytes;
    }
}

static void pack_tile(const struct weir_cpu_matrix *m, const struct weir_cpu_segment *s,
                      uint32_t tile)
{
    uint32_t rows = m->isa->tile_rows;
    uint8_t *out = s->tiles + tile * s->tile_bytes;
    uint32_t row = tile * rows;
    uint32_t n_valid = s->n_rows - row < rows ? s->n_rows - row : rows;

    if (n_valid < rows) {
        memset(out, 0, s->tile_bytes);
    }
    for (uint32_t lane = 0; lane < n_valid; lane++) {
        weir_cpu_tile_pack_row(out, s->type, m->n_cols, rows, m->isa->q8_flip, lane,
                               s->source + (size_t)(row + lane) * s->source_row_bytes);
    }
}

void weir_cpu_matrix_pack(struct weir_cpu_matrix *m, uint32_t tile_begin, uint32_t tile_end)
{
    for (uint32_t i = 0; i < m->n_segments; i++) {
        const struct weir_cpu_segment *s = &m->segments[i];
        uint32_t begin = tile_begin > s->tile_begin ? tile_begin : s->tile_begin;
        uint32_t last = s->tile_begin + s->n_tiles;
        uint32_t end = tile_end < last ? tile_end : last;
        for (uint32_t tile = begin; tile < end; tile++) {
            pack_tile(m, s, tile - s->tile_begin);
        }
    }
}

static const struct weir_cpu_segment *segment_of_row(const struct weir_cpu_matrix *m, uint32_t row)
{
    const struct weir_cpu_segment *s = m->segments;
    while (row >= s->row_begin + s->n_rows) {
        s++;
    }
    return s;
}

void weir_cpu_matrix_row(const struct weir_cpu_matrix *m, uint32_t row, float *out)
{
    const struct weir_cpu_segment *s = segment_of_row(m, row);
    const struct weir_cpu_tile_format *f = weir_cpu_tile_format(s->type);
    uint32_t rows = m->isa->tile_rows;
    uint32_t lane = (row - s->row_begin) % rows;
    const uint8_t *tile = s->tiles + (row - s->row_begin) / rows * s->tile_bytes;

    if (f->kind == WEIR_CPU_TILE_FLOAT) {
        for (uint32_t k = 0; k < m->n_cols; k++) {
            out[k] = weir_cpu_tile_float(tile, s->type, rows, lane, k);
        }
        return;
    }
    for (uint32_t block = 0; block < m->n_cols / 32; block++, out += 32) {
        struct weir_cpu_tile_values v;
        weir_cpu_tile_values(tile, s->type, m->n_cols, rows, m->isa->q8_flip, lane, block, &v);
        if (f->kind == WEIR_CPU_TILE_OFFSET) {
            for (uint32_t k = 0; k < 32; k++) {
                out[k] = v.s[0] * (float)v.u[k] + v.m;
            }
        } else {
            for (uint32_t k = 0; k < 32; k++) {
                out[k] = v.s[k / 16] * (float)v.u[k];
            }
        }
    }
}

void weir_cpu_matrix_column(const struct weir_cpu_matrix *m, uint32_t column, uint32_t row_begin,
                            uint32_t row_end, float *out)
{
    const uint32_t rows = m->isa->tile_rows;
    const uint32_t k = column % 32;
    for (uint32_t row = row_begin; row < row_end; row++) {
        const struct weir_cpu_segment *s = segment_of_row(m, row);
        const struct weir_cpu_tile_format *f = weir_cpu_tile_format(s->type);
        if (f->kind == WEIR_CPU_TILE_FLOAT) {
            out[row] = 0.0f;
            continue;
        }
        struct weir_cpu_tile_values v;
        weir_cpu_tile_values(s->tiles + (row - s->row_begin) / rows * s->tile_bytes, s->type,
                             m->n_cols, rows, m->isa->q8_flip, (row - s->row_begin) % rows,
                             column / 32, &v);
        out[row] = f->kind == WEIR_CPU_TILE_OFFSET   ? v.s[0] * (float)v.u[k] + v.m
                   : f->kind == WEIR_CPU_TILE_HALVES ? v.s[k / 16] * (float)v.u[k]
                                                     : v.s[0] * (float)v.u[k];
    }
}

uint32_t weir_cpu_matrix_split(const struct weir_cpu_matrix *m, uint32_t part, uint32_t n_parts)
{
    /* 128-bit product: size_bytes * part passes 64 bits only for absurd sizes, but costs nothing.
     */
    size_t at = (size_t)((unsigned __int128)m->size_bytes * part / n_parts);
    for (uint32_t i = 0; i < m->n_segments; i++) {
        const struct weir_cpu_segment *s = &m->segments[i];
        size_t bytes = s->n_tiles * s->tile_bytes;
        if (at < bytes) {
            return s->tile_begin + (uint32_t)((at + s->tile_bytes / 2) / s->tile_bytes);
        }
        at -= bytes;
    }
    return m->n_tiles;
}
