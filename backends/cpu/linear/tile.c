/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cpu/linear/tile.h"

#include <string.h>

#include "engine/quant/half.h"

enum { PER_SUPER = 8 /* blocks of 32 in a K-quant's source block */ };

/* Byte offsets in GGUF's source blocks. */
enum {
    Q5_0_QH = 2,
    Q5_0_QS = 6,
    Q5_1_QH = 4,
    Q5_1_QS = 8,
    QK_SCALES = 4,
    Q4_K_QS = 16,
    Q5_K_QH = 16,
    Q5_K_QS = 48,
    Q6_K_QH = 128,
    Q6_K_SCALES = 192,
    Q6_K_D = 208,
};

static const struct weir_cpu_tile_format formats[WEIR_CPU_TYPE__COUNT] = {
    /* kind, source_cols, scale_bytes, quant_bytes, centre */
    [WEIR_TENSOR_F32] = {WEIR_CPU_TILE_FLOAT, 1, 0, 128, 0},
    [WEIR_TENSOR_F16] = {WEIR_CPU_TILE_FLOAT, 1, 0, 64, 0},
    [WEIR_TENSOR_BF16] = {WEIR_CPU_TILE_FLOAT, 1, 0, 64, 0},
    [WEIR_TENSOR_Q4_0] = {WEIR_CPU_TILE_CENTRED, 1, 2, 16, 8},
    [WEIR_TENSOR_Q4_1] = {WEIR_CPU_TILE_OFFSET, 1, 4, 16, 0},
    [WEIR_TENSOR_Q5_0] = {WEIR_CPU_TILE_CENTRED, 1, 2, 20, 16},
    [WEIR_TENSOR_Q5_1] = {WEIR_CPU_TILE_OFFSET, 1, 4, 20, 0},
    [WEIR_TENSOR_Q8_0] = {WEIR_CPU_TILE_CENTRED, 1, 2, 32, 0},
    [WEIR_TENSOR_Q4_K] = {WEIR_CPU_TILE_OFFSET, PER_SUPER, 20, 16, 0},
    [WEIR_TENSOR_Q5_K] = {WEIR_CPU_TILE_OFFSET, PER_SUPER, 20, 20, 0},
    [WEIR_TENSOR_Q6_K] = {WEIR_CPU_TILE_HALVES, PER_SUPER, 18, 24, 32},
};

const struct weir_cpu_tile_format *weir_cpu_tile_format(uint32_t type)
{
    return type < WEIR_CPU_TYPE__COUNT && formats[type].source_cols > 0 ? &formats[type] : NULL;
}

static size_t round_up_64(size_t n)
{
    return (n + 63) & ~(size_t)63;
}

size_t weir_cpu_tile_scale_bytes(uint32_t type, uint32_t n_cols, uint32_t tile_rows)
{
    const struct weir_cpu_tile_format *f = &formats[type];
    return round_up_64((size_t)(n_cols / (32u * f->source_cols)) * f->scale_bytes * tile_rows);
}

size_t weir_cpu_tile_bytes(uint32_t type, uint32_t n_cols, uint32_t tile_rows)
{
    const struct weir_cpu_tile_format *f = &formats[type];
    /* A float type may have any width; its quant_bytes are of 32 whole elements. */
    size_t quants = (size_t)n_cols * f->quant_bytes / 32 * tile_rows;
    return weir_cpu_tile_scale_bytes(type, n_cols, tile_rows) + round_up_64(quants);
}

static uint32_t load_u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static float half_at(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return weir_f16_to_f32(v);
}

static void put_u32(uint8_t *planes, uint32_t plane, uint32_t rows, uint32_t lane, uint32_t v)
{
    memcpy(planes + ((size_t)plane * rows + lane) * 4, &v, sizeof(v));
}

/* Moves bit 4g + b of x to bit 8b + g: the fifth bits of 32 columns, as their plane wants them. */
static uint32_t spread_fifth_bits(uint32_t x)
{
    uint32_t out = 0;
    for (uint32_t b = 0; b < 4; b++) {
        uint32_t t = (x >> b) & 0x11111111u; /* bit 4g; fold to bit g */
        t = (t | t >> 3) & 0x03030303u;
        t = (t | t >> 6) & 0x000f000fu;
        t = (t | t >> 12) & 0xffu;
        out |= t << (8 * b);
    }
    return out;
}

/* Q4_0, Q4_1, Q5_0, Q5_1: scale halves, then an optional word of fifth bits, then 16 nibble bytes
 * whose order is already the planes'. */
static void pack_nibble_block(uint8_t *scales, uint8_t *quants, uint32_t rows, uint32_t lane,
                              const uint8_t *source, uint32_t n_halves, int has_fifth)
{
    for (uint32_t i = 0; i < n_halves; i++) {
        memcpy(scales + ((size_t)i * rows + lane) * 2, source + (size_t)2 * i, 2);
    }
    source += (size_t)2 * n_halves;
    uint32_t plane = 0;
    if (has_fifth) {
        put_u32(quants, plane++, rows, lane, spread_fifth_bits(load_u32(source)));
        source += 4;
    }
    for (uint32_t j = 0; j < 4; j++) {
        put_u32(quants, plane + j, rows, lane, load_u32(source + (size_t)4 * j));
    }
}

static void pack_byte_block(uint8_t *scales, uint8_t *quants, uint32_t rows, uint32_t lane,
                            const uint8_t *source, uint8_t flip)
{
    memcpy(scales + (size_t)lane * 2, source, 2);
    for (uint32_t g = 0; g < 8; g++) {
        put_u32(quants, g, rows, lane, load_u32(source + 2 + (size_t)4 * g) ^ flip * 0x01010101u);
    }
}

/* The 6-bit scale and minimum of block j, as GGML packs eight of each into 12 bytes. */
static void unpack_scale_min(const uint8_t *p, uint32_t j, uint8_t *ret_scale, uint8_t *ret_min)
{
    if (j < 4) {
        *ret_scale = p[j] & 63;
        *ret_min = p[j + 4] & 63;
    } else {
        *ret_scale = (uint8_t)((p[j + 4] & 15) | (p[j - 4] >> 6) << 4);
        *ret_min = (uint8_t)(p[j + 4] >> 4 | (p[j] >> 6) << 4);
    }
}

/* In 32 source bytes of a K-quant the low nibbles are one block and the high nibbles the next; a
 * tile wants columns i and i + 16 of the same block in one byte. */
static void pack_split_nibbles(uint8_t *block, uint8_t *next_block, uint32_t rows, uint32_t lane,
                               const uint8_t *source)
{
    for (uint32_t j = 0; j < 4; j++) {
        uint32_t x = load_u32(source + (size_t)4 * j);
        uint32_t y = load_u32(source + 16 + (size_t)4 * j);
        put_u32(block, j, rows, lane, (x & 0x0f0f0f0fu) | (y & 0x0f0f0f0fu) << 4);
        put_u32(next_block, j, rows, lane, (x >> 4 & 0x0f0f0f0fu) | (y & 0xf0f0f0f0u));
    }
}

/* Q4_K and Q5_K: 256 columns. */
static void pack_offset_super(uint8_t *scales, uint8_t *quants, uint32_t rows, uint32_t lane,
                              const uint8_t *source, int has_fifth)
{
    size_t block_bytes = (size_t)rows * (has_fifth ? 20 : 16);
    size_t nibbles = has_fifth ? (size_t)rows * 4 : 0;
    const uint8_t *qs = source + (has_fifth ? Q5_K_QS : Q4_K_QS);

    memcpy(scales + (size_t)lane * 2, source, 2);
    memcpy(scales + ((size_t)rows + lane) * 2, source + 2, 2);
    uint8_t *block_scales = scales + (size_t)rows * 4;
    for (uint32_t j = 0; j < PER_SUPER; j++) {
        uint8_t *p = block_scales + (size_t)j * rows * 2 + lane;
        unpack_scale_min(source + QK_SCALES, j, p, p + rows);
    }
    for (uint32_t j = 0; j < PER_SUPER; j += 2) {
        pack_split_nibbles(quants + j * block_bytes + nibbles,
                           quants + (j + 1) * block_bytes + nibbles, rows, lane,
                           qs + (size_t)16 * j);
    }
    if (!has_fifth) {
        return;
    }
    for (uint32_t j = 0; j < PER_SUPER; j++) {
        uint32_t fifth = 0;
        for (uint32_t g = 0; g < 8; g++) {
            uint32_t bits = load_u32(source + Q5_K_QH + (size_t)4 * g) >> j;
            fifth |= (bits & 0x01010101u) << g;
        }
        put_u32(quants + j * block_bytes, 0, rows, lane, fifth);
    }
}

/* Q6_K: 256 columns in two halves of 128. In a half, ql[0..31] holds columns 0..31 (low) and 64..95
 * (high), ql[32..63] columns 32..63 and 96..127; the 2-bit fields of qh[0..31] follow each other.
 */
static void pack_halves_super(uint8_t *scales, uint8_t *quants, uint32_t rows, uint32_t lane,
                              const uint8_t *source)
{
    size_t block_bytes = (size_t)rows * 24;

    memcpy(scales + (size_t)lane * 2, source + Q6_K_D, 2);
    uint8_t *block_scales = scales + (size_t)rows * 2;
    for (uint32_t i = 0; i < 2 * PER_SUPER; i++) {
        block_scales[(size_t)i * rows + lane] = source[Q6_K_SCALES + i];
    }
    for (uint32_t half = 0; half < 2; half++) {
        const uint8_t *ql = source + (size_t)64 * half;
        const uint8_t *qh = source + Q6_K_QH + (size_t)32 * half;
        uint8_t *block = quants + (size_t)4 * half * block_bytes;
        size_t nibbles = (size_t)rows * 8;
        pack_split_nibbles(block + nibbles, block + 2 * block_bytes + nibbles, rows, lane, ql);
        pack_split_nibbles(block + block_bytes + nibbles, block + 3 * block_bytes + nibbles, rows,
                           lane, ql + 32);
        for (uint32_t j = 0; j < 4; j++, block += block_bytes) {
            uint32_t fields[2] = {0, 0};
            for (uint32_t g = 0; g < 8; g++) {
                uint32_t bits = load_u32(qh + (size_t)4 * g) >> (2 * j);
                fields[g / 4] |= (bits & 0x03030303u) << (2 * (g % 4));
            }
            put_u32(block, 0, rows, lane, fields[0]);
            put_u32(block, 1, rows, lane, fields[1]);
        }
    }
}

static void pack_floats(uint8_t *tile, uint32_t size, uint32_t n_cols, uint32_t rows, uint32_t lane,
                        const uint8_t *source)
{
    for (uint32_t k = 0; k < n_cols; k++) {
        memcpy(tile + ((size_t)k * rows + lane) * size, source + (size_t)k * size, size);
    }
}

void weir_cpu_tile_pack_row(uint8_t *tile, uint32_t type, uint32_t n_cols, uint32_t rows,
                            uint8_t flip, uint32_t lane, const uint8_t *source)
{
    const struct weir_cpu_tile_format *f = &formats[type];
    if (f->kind == WEIR_CPU_TILE_FLOAT) {
        pack_floats(tile, f->quant_bytes / 32, n_cols, rows, lane, source);
        return;
    }

    const size_t source_bytes = weir_tensor_type_info(type)->block_bytes;
    uint8_t *scales = tile;
    uint8_t *quants = tile + weir_cpu_tile_scale_bytes(type, n_cols, rows);
    for (uint32_t k = 0; k < n_cols; k += 32u * f->source_cols) {
        switch (type) {
        case WEIR_TENSOR_Q4_0: pack_nibble_block(scales, quants, rows, lane, source, 1, 0); break;
        case WEIR_TENSOR_Q4_1: pack_nibble_block(scales, quants, rows, lane, source, 2, 0); break;
        case WEIR_TENSOR_Q5_0: pack_nibble_block(scales, quants, rows, lane, source, 1, 1); break;
        case WEIR_TENSOR_Q5_1: pack_nibble_block(scales, quants, rows, lane, source, 2, 1); break;
        case WEIR_TENSOR_Q8_0: pack_byte_block(scales, quants, rows, lane, source, flip); break;
        case WEIR_TENSOR_Q4_K: pack_offset_super(scales, quants, rows, lane, source, 0); break;
        case WEIR_TENSOR_Q5_K: pack_offset_super(scales, quants, rows, lane, source, 1); break;
        case WEIR_TENSOR_Q6_K: pack_halves_super(scales, quants, rows, lane, source); break;
        default: break;
        }
        source += source_bytes;
        scales += (size_t)f->scale_bytes * rows;
        quants += (size_t)f->quant_bytes * f->source_cols * rows;
    }
}

/* The scales of one block of one lane, as floats in GGML's own order of products. */
static void read_scales(const uint8_t *scales, uint32_t type, uint32_t rows, uint32_t lane,
                        uint32_t block, struct weir_cpu_tile_values *v)
{
    const struct weir_cpu_tile_format *f = &formats[type];
    const uint8_t *p = scales + (size_t)(block / f->source_cols) * f->scale_bytes * rows;
    float d = half_at(p + (size_t)2 * lane);

    v->s[0] = d;
    v->s[1] = d;
    v->m = 0.0f;
    if (f->source_cols == 1) {
        if (f->kind == WEIR_CPU_TILE_OFFSET) {
            v->m = half_at(p + (size_t)2 * (rows + lane));
        }
        return;
    }
    uint32_t j = block % PER_SUPER;
    if (f->kind == WEIR_CPU_TILE_OFFSET) {
        const uint8_t *q = p + (size_t)rows * (4 + 2 * j) + lane;
        v->s[0] = v->s[1] = d * (float)q[0];
        v->m = -(half_at(p + (size_t)2 * (rows + lane)) * (float)q[rows]);
    } else {
        const uint8_t *q = p + (size_t)rows * (2 + 2 * j) + lane;
        v->s[0] = d * (float)(int8_t)q[0];
        v->s[1] = d * (float)(int8_t)q[rows];
    }
}

void weir_cpu_tile_values(const uint8_t *tile, uint32_t type, uint32_t n_cols, uint32_t rows,
                          uint8_t flip, uint32_t lane, uint32_t block,
                          struct weir_cpu_tile_values *v)
{
    const struct weir_cpu_tile_format *f = &formats[type];
    const uint8_t *q = tile + weir_cpu_tile_scale_bytes(type, n_cols, rows) +
                       (size_t)block * f->quant_bytes * rows + (size_t)4 * lane;
    size_t plane = (size_t)4 * rows;

    read_scales(tile, type, rows, lane, block, v);
    if (type == WEIR_TENSOR_Q8_0) {
        for (uint32_t k = 0; k < 32; k++) {
            v->u[k] = (int8_t)(q[k / 4 * plane + k % 4] ^ flip);
        }
        return;
    }
    uint32_t n_high = (f->quant_bytes - 16u) / 4; /* planes of high bits: 0, 1 or 2 */
    for (uint32_t k = 0; k < 32; k++) {
        uint32_t g = k / 4, byte = k % 4;
        uint32_t u = q[(n_high + g % 4) * plane + byte] >> (g < 4 ? 0 : 4) & 15u;
        if (n_high == 1) {
            u |= (q[byte] >> g & 1u) << 4;
        } else if (n_high == 2) {
            u |= (q[g / 4 * plane + byte] >> (2 * (g % 4)) & 3u) << 4;
        }
        v->u[k] = (int8_t)((int)u - f->centre);
    }
}

float weir_cpu_tile_float(const uint8_t *tile, uint32_t type, uint32_t rows, uint32_t lane,
                          uint32_t col)
{
    size_t at = (size_t)col * rows + lane;
    if (type == WEIR_TENSOR_F32) {
        float value;
        memcpy(&value, tile + at * 4, sizeof(value));
        return value;
    }
    uint16_t bits;
    memcpy(&bits, tile + at * 2, sizeof(bits));
    return type == WEIR_TENSOR_F16 ? weir_f16_to_f32(bits) : weir_bf16_to_f32(bits);
}
