/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/linear/pack.h"

#include <math.h>
#include <string.h>

#include "engine/gguf/tensor_type.h"
#include "engine/quant/dequant.h"
#include "engine/quant/half.h"

struct kind_shape {
    uint32_t k, quants, high, scales;
};

static const struct kind_shape kind_shapes[] = {
#define SHAPE(kind, k, quants, high, scales) [WEIR_MATRIX_##kind] = {k, quants, high, scales},
    WEIR_MATRIX_KINDS(SHAPE)
#undef SHAPE
};

/* One block of 32 columns of one row, as it goes into a record. */
struct block {
    uint16_t v[32]; /* quants without sign, or f16 bits */
    uint32_t scale; /* d, or d and m << 16 */
};

static int kind_of(uint32_t type)
{
    switch (type) {
    case WEIR_TENSOR_F32:
    case WEIR_TENSOR_F16:
    case WEIR_TENSOR_BF16: return WEIR_MATRIX_F16;
    case WEIR_TENSOR_Q4_0: return WEIR_MATRIX_Q4_0;
    case WEIR_TENSOR_Q4_1: return WEIR_MATRIX_Q4_1;
    case WEIR_TENSOR_Q5_0: return WEIR_MATRIX_Q5_0;
    case WEIR_TENSOR_Q5_1: return WEIR_MATRIX_Q5_1;
    case WEIR_TENSOR_Q8_0: return WEIR_MATRIX_Q8_0;
    case WEIR_TENSOR_Q4_K: return WEIR_MATRIX_Q4_K;
    case WEIR_TENSOR_Q5_K: return WEIR_MATRIX_Q5_K;
    case WEIR_TENSOR_Q6_K: return WEIR_MATRIX_Q6_K;
    default: return WEIR_E_UNSUPPORTED;
    }
}

int weir_pack_plan(uint32_t type, uint32_t lanes, uint64_t n_rows, uint64_t n_cols,
                   struct weir_pack_plan *ret_plan)
{
    int kind = kind_of(type);
    if (kind < 0) {
        return kind;
    }
    if (n_rows == 0 || n_cols == 0 || n_rows > INT32_MAX || n_cols > INT32_MAX) {
        return WEIR_E_TOOBIG;
    }
    size_t row_bytes = weir_tensor_row_bytes(type, n_cols);
    if (row_bytes == 0 || (lanes != 32 && lanes != 64)) {
        return WEIR_E_ARG;
    }
    const struct kind_shape *shape = &kind_shapes[kind];
    struct weir_pack_plan plan = {.type = type,
                                  .kind = (uint32_t)kind,
                                  .lanes = lanes,
                                  .n_rows = (uint32_t)n_rows,
                                  .n_cols = (uint32_t)n_cols,
                                  .row_bytes = row_bytes};
    plan.n_tiles = (plan.n_rows + WEIR_TILE_ROWS - 1) / WEIR_TILE_ROWS;
    plan.n_records = (plan.n_cols + shape->k - 1) / shape->k;
    plan.record_bytes = shape->quants + shape->high + shape->scales;
    plan.records_bytes = (size_t)plan.n_tiles * plan.n_records * plan.record_bytes;
    plan.n_bytes = plan.records_bytes;
    if (kind == WEIR_MATRIX_F16) {
        plan.n_bytes += (size_t)plan.n_tiles * WEIR_TILE_ROWS * sizeof(float);
    }
    *ret_plan = plan;
    return 0;
}

/* The power of two that brings a row's largest number to about 2^14; 1 where f16 holds the row as
 * it is. */
static float row_scale(const struct weir_pack_plan *plan, const uint8_t *row)
{
    if (plan->type == WEIR_TENSOR_F16) {
        return 1.0f;
    }
    float max = 0;
    uint32_t size = plan->type == WEIR_TENSOR_F32 ? 4 : 2;
    for (uint32_t i = 0; i < plan->n_cols; i++) {
        float v;
        if (weir_dequant_row(plan->type, row + (size_t)i * size, &v, 1) == 0 && fabsf(v) > max) {
            max = fabsf(v);
        }
    }
    if (max == 0 || !isfinite(max)) {
        return 1.0f;
    }
    int exponent;
    (void)frexpf(max, &exponent);
    exponent -= 15;
    return ldexpf(1.0f, exponent < -126 ? -126 : exponent);
}

static void read_floats(const struct weir_pack_plan *plan, const uint8_t *row, uint32_t at,
                        float scale, struct block *out)
{
    uint32_t size = plan->type == WEIR_TENSOR_F32 ? 4 : 2;
    for (uint32_t i = 0; i < 32; i++) {
        out->v[i] = 0;
        if (at + i >= plan->n_cols) {
            continue;
        }
        const uint8_t *from = row + (size_t)(at + i) * size;
        if (plan->type == WEIR_TENSOR_F16) {
            memcpy(&out->v[i], from, 2);
            continue;
        }
        float v;
        if (weir_dequant_row(plan->type, from, &v, 1) == 0) {
            out->v[i] = weir_f32_to_f16(v / scale);
        }
    }
}

static uint16_t read_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

/* Blocks of the 32-column types: scale and minimum, fifth bits, nibbles or bytes. */
static void read_small(uint32_t type, const uint8_t *b, struct block *out)
{
    out->scale = read_u16(b);
    b += 2;
    if (type == WEIR_TENSOR_Q8_0) {
        for (uint32_t i = 0; i < 32; i++) {
            out->v[i] = (uint16_t)(b[i] ^ 0x80); /* + 128 */
        }
        return;
    }
    if (type == WEIR_TENSOR_Q4_1 || type == WEIR_TENSOR_Q5_1) {
        out->scale |= (uint32_t)read_u16(b) << 16;
        b += 2;
    }
    uint32_t fifth = 0;
    if (type == WEIR_TENSOR_Q5_0 || type == WEIR_TENSOR_Q5_1) {
        fifth = read_u16(b) | (uint32_t)read_u16(b + 2) << 16;
        b += 4;
    }
    for (uint32_t i = 0; i < 32; i++) {
        uint32_t nibble = i < 16 ? b[i] & 0x0Fu : (uint32_t)b[i - 16] >> 4;
        out->v[i] = (uint16_t)(nibble | (fifth >> i & 1) << 4);
    }
}

/* Quants of block j of a 256-column super-block. */
static void read_super(uint32_t type, const uint8_t *b, uint32_t j, struct block *out)
{
    for (uint32_t i = 0; i < 32; i++) {
        uint32_t e = 32 * j + i;
        uint32_t v;
        if (type == WEIR_TENSOR_Q6_K) {
            uint32_t half = e / 128, in_half = e % 128;
            uint32_t low = b[half * 64 + in_half % 64];
            uint32_t high = b[128 + half * 32 + in_half % 32];
            v = (in_half < 64 ? low & 0x0F : low >> 4) | (high >> in_half / 32 * 2 & 3) << 4;
        } else {
            const uint8_t *nibbles = b + (type == WEIR_TENSOR_Q4_K ? 16 : 48);
            uint32_t byte = nibbles[e / 64 * 32 + e % 32];
            v = e % 64 < 32 ? byte & 0x0F : byte >> 4;
            if (type == WEIR_TENSOR_Q5_K) {
                v |= (uint32_t)(b[16 + e % 32] >> j & 1) << 4;
            }
        }
        out->v[i] = (uint16_t)v;
    }
}

static void store_u32(uint8_t *to, uint32_t v)
{
    memcpy(to, &v, 4);
}

/* d, dmin and the eight 6-bit scales and minima, as matrix_layout.h wants them. */
static void pack_super_scales(const uint8_t *b, uint8_t *to)
{
    uint32_t field[8]; /* scale, and minimum 16 bits above */
    for (uint32_t j = 0; j < 8; j++) {
        const uint8_t *p = b + 4;
        uint32_t scale, min;
        if (j < 4) {
            scale = p[j] & 0x3Fu;
            min = p[j + 4] & 0x3Fu;
        } else {
            scale = (p[j + 4] & 0x0Fu) | ((uint32_t)p[j - 4] >> 2 & 0x30u);
            min = ((uint32_t)p[j + 4] >> 4) | ((uint32_t)p[j] >> 2 & 0x30u);
        }
        field[j] = scale | min << 16;
    }
    memcpy(to, b, 4);
    uint32_t last = field[6] | field[7] << 6;
    for (uint32_t i = 0; i < 3; i++) {
        store_u32(to + 4 + 4 * i,
                  field[2 * i] | field[2 * i + 1] << 6 | (last >> 4 * i & 0x000F000Fu) << 12);
    }
}

/* Bits i of the thread's words in a part of the record: `per_thread` words each, in chunks of at
 * most four. */
static void or_word(uint8_t *part, uint32_t lanes, uint32_t per_thread, uint32_t lane,
                    uint32_t word, uint32_t bits)
{
    uint32_t chunk_words = per_thread < 4 ? per_thread : 4;
    uint8_t *at = part + ((size_t)(word / chunk_words) * lanes + lane) * chunk_words * 4 +
                  word % chunk_words * 4;
    uint32_t v;
    memcpy(&v, at, 4);
    store_u32(at, v | bits);
}

static void place_block(const struct weir_pack_plan *plan, uint8_t *record, uint32_t row,
                        uint32_t index, const struct block *block)
{
    const struct kind_shape *shape = &kind_shapes[plan->kind];
    uint32_t lanes = plan->lanes;
    uint32_t n_units = lanes == 32 ? 2 : 1;
    uint32_t words = plan->kind == WEIR_MATRIX_F16 ? 4 : plan->kind == WEIR_MATRIX_Q8_0 ? 2 : 1;
    uint32_t high_bits = shape->high / 512;
    for (uint32_t t = 0; t < 4; t++) {
        uint32_t lane = lanes == 32 ? row % 8 * 4 + t : row + 16 * t;
        uint32_t unit = index * n_units + (lanes == 32 ? row / 8 : 0);
        for (uint32_t p = 0; p < 4; p++) {
            const uint16_t *pair = block->v + 8 * p + 2 * t;
            uint32_t a = pair[0], b = pair[1];
            if (words == 4) {
                or_word(record, lanes, 4, lane, unit * 4 + p, a | b << 16);
            } else if (words == 2) {
                or_word(record, lanes, 4, lane, unit * 2 + p / 2, (a | b << 16) << p % 2 * 8);
            } else {
                or_word(record, lanes, 4, lane, unit, ((a & 15) | (b & 15) << 16) << 4 * p);
            }
            if (high_bits > 0) {
                uint32_t number = 4 * unit + p, per_word = 16 / high_bits;
                or_word(record + shape->quants, lanes, shape->high / 4 / lanes, lane,
                        number / per_word,
                        (a >> 4 | b >> 4 << 16) << number % per_word * high_bits);
            }
        }
    }
}

/* Scales of a row's blocks in one record. */
static void place_small_scale(const struct weir_pack_plan *plan, uint8_t *record, uint32_t row,
                              uint32_t index, uint32_t scale)
{
    const struct kind_shape *shape = &kind_shapes[plan->kind];
    uint32_t n_blocks = shape->k / 32;
    uint32_t size = shape->scales / WEIR_TILE_ROWS / n_blocks;
    uint8_t *to = record + shape->quants + shape->high + (row * n_blocks + index) * size;
    memcpy(to, &scale, size); /* little-endian: d is in the lower half */
}

static void pack_row_record(const struct weir_pack_plan *plan, const uint8_t *src_row, uint32_t row,
                            uint32_t at, float scale, uint8_t *record)
{
    const struct kind_shape *shape = &kind_shapes[plan->kind];
    uint8_t *scales = record + shape->quants + shape->high;
    const struct weir_tensor_type_info *info = weir_tensor_type_info(plan->type);
    struct block block = {.scale = 0};
    for (uint32_t j = 0; j < shape->k / 32 && at + 32 * j < plan->n_cols; j++) {
        uint32_t column = at + 32 * j;
        if (plan->kind == WEIR_MATRIX_F16) {
            read_floats(plan, src_row, column, scale, &block);
        } else if (info->block_elems == 32) {
            read_small(plan->type, src_row + (size_t)(column / 32) * info->block_bytes, &block);
            place_small_scale(plan, record, row, j, block.scale);
        } else {
            const uint8_t *super = src_row + (size_t)(column / 256) * info->block_bytes;
            read_super(plan->type, super, j, &block);
            if (j == 0 && plan->kind == WEIR_MATRIX_Q6_K) {
                memcpy(scales + 16 * row, super + 192, 16);
                memcpy(scales + 256 + 2 * row, super + 208, 2);
            } else if (j == 0) {
                pack_super_scales(super, scales + 16 * row);
            }
        }
        place_block(plan, record, row, j, &block);
    }
}

void weir_pack_tiles(const struct weir_pack_plan *plan, const void *src, uint32_t first, uint32_t n,
                     void *tile_to, float *scales_to)
{
    const uint8_t *from = src;
    uint8_t *to = tile_to;
    uint32_t k = kind_shapes[plan->kind].k;
    memset(to, 0, (size_t)n * plan->n_records * plan->record_bytes);
    for (uint32_t i = 0; i < n * WEIR_TILE_ROWS; i++) {
        uint32_t row = first * WEIR_TILE_ROWS + i;
        float scale = 1.0f;
        if (row < plan->n_rows) {
            const uint8_t *src_row = from + row * plan->row_bytes;
            if (plan->kind == WEIR_MATRIX_F16) {
                scale = row_scale(plan, src_row);
            }
            for (uint32_t r = 0; r < plan->n_records; r++) {
                uint8_t *record =
                    to + ((size_t)(i / WEIR_TILE_ROWS) * plan->n_records + r) * plan->record_bytes;
                pack_row_record(plan, src_row, i % WEIR_TILE_ROWS, r * k, scale, record);
            }
        }
        if (scales_to) {
            scales_to[i] = scale;
        }
    }
}

void weir_pack_matrix(const struct weir_pack_plan *plan, const void *src, void *to)
{
    float *scales = plan->kind == WEIR_MATRIX_F16
                        ? (float *)(void *)((uint8_t *)to + plan->records_bytes)
                        : NULL;
    weir_pack_tiles(plan, src, 0, plan->n_tiles, to, scales);
}

struct weir_gpu_matrix weir_pack_matrix_at(const struct weir_pack_plan *plan, const void *device)
{
    struct weir_gpu_matrix matrix = {.records = device,
                                     .kind = plan->kind,
                                     .n_rows = plan->n_rows,
                                     .n_cols = plan->n_cols,
                                     .n_records = plan->n_records};
    if (plan->kind == WEIR_MATRIX_F16) {
        matrix.row_scale =
            (const float *)(const void *)((const uint8_t *)device + plan->records_bytes);
    }
    return matrix;
}
