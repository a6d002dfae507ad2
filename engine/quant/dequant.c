/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/quant/dequant.h"

#include "engine/quant/half.h"

static uint16_t read_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t read_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static float read_f16(const uint8_t *p)
{
    return weir_f16_to_f32(read_u16(p));
}

static void from_f32(const uint8_t *b, float *out)
{
    *out = weir_f32_from_bits(read_u32(b));
}

static void from_f16(const uint8_t *b, float *out)
{
    *out = read_f16(b);
}

static void from_bf16(const uint8_t *b, float *out)
{
    *out = weir_bf16_to_f32(read_u16(b));
}

/* Element i < 16 is the low nibble of byte i, element 16 + i the high one. */
static int nibble(const uint8_t *qs, size_t i)
{
    return i < 16 ? qs[i] & 0x0F : qs[i - 16] >> 4;
}

/* d (f16), 32 nibbles; x = d * (q - 8) */
static void from_q4_0(const uint8_t *b, float *out)
{
    float d = read_f16(b);
    for (size_t i = 0; i < 32; i++) {
        out[i] = d * (float)(nibble(b + 2, i) - 8);
    }
}

/* d, m (f16), 32 nibbles; x = d * q + m */
static void from_q4_1(const uint8_t *b, float *out)
{
    float d = read_f16(b);
    float m = read_f16(b + 2);
    for (size_t i = 0; i < 32; i++) {
        out[i] = d * (float)nibble(b + 4, i) + m;
    }
}

/* d (f16), 32 fifth bits, 32 nibbles; x = d * (q - 16) */
static void from_q5_0(const uint8_t *b, float *out)
{
    float d = read_f16(b);
    uint32_t high = read_u32(b + 2);
    for (size_t i = 0; i < 32; i++) {
        int q = nibble(b + 6, i) | (int)(high >> i & 1u) << 4;
        out[i] = d * (float)(q - 16);
    }
}

/* d, m (f16), 32 fifth bits, 32 nibbles; x = d * q + m */
static void from_q5_1(const uint8_t *b, float *out)
{
    float d = read_f16(b);
    float m = read_f16(b + 2);
    uint32_t high = read_u32(b + 4);
    for (size_t i = 0; i < 32; i++) {
        int q = nibble(b + 8, i) | (int)(high >> i & 1u) << 4;
        out[i] = d * (float)q + m;
    }
}

/* d (f16), 32 signed bytes; x = d * q */
static void from_q8_0(const uint8_t *b, float *out)
{
    float d = read_f16(b);
    for (size_t i = 0; i < 32; i++) {
        out[i] = d * (float)(int8_t)b[2 + i];
    }
}

/* The 6-bit scale and minimum of sub-block j < 8, packed in 12 bytes: the low four bits of the
 * last four pairs are in bytes 8..11, their high two bits on top of bytes 0..7. */
static void unpack_scale_min(const uint8_t *packed, size_t j, int *ret_scale, int *ret_min)
{
    if (j < 4) {
        *ret_scale = packed[j] & 0x3F;
        *ret_min = packed[j + 4] & 0x3F;
    } else {
        *ret_scale = (packed[j + 4] & 0x0F) | (packed[j - 4] >> 2 & 0x30);
        *ret_min = packed[j + 4] >> 4 | (packed[j] >> 2 & 0x30);
    }
}

/* Element i of a block of 256 nibbles in which 32 low nibbles are followed by their 32 high ones.
 */
static int super_nibble(const uint8_t *qs, size_t i)
{
    uint8_t byte = qs[i / 64 * 32 + i % 32];
    return i % 64 < 32 ? byte & 0x0F : byte >> 4;
}

/* d, dmin (f16), 8 packed scales and minima, 256 nibbles; x = (d * scale) * q - dmin * min */
static void from_q4_k(const uint8_t *b, float *out)
{
    float d = read_f16(b);
    float dmin = read_f16(b + 2);
    for (size_t i = 0; i < 256; i++) {
        int scale, min;
        unpack_scale_min(b + 4, i / 32, &scale, &min);
        out[i] = d * (float)scale * (float)super_nibble(b + 16, i) - dmin * (float)min;
    }
}

/* As Q4_K with fifth bits: bit j of byte i belongs to element i of sub-block j. */
static void from_q5_k(const uint8_t *b, float *out)
{
    float d = read_f16(b);
    float dmin = read_f16(b + 2);
    for (size_t i = 0; i < 256; i++) {
        int scale, min;
        unpack_scale_min(b + 4, i / 32, &scale, &min);
        int q = super_nibble(b + 48, i) | (b[16 + i % 32] >> i / 32 & 1) << 4;
        out[i] = d * (float)scale * (float)q - dmin * (float)min;
    }
}

/* 128 bytes of low nibbles, 64 of high bit pairs, 16 signed scales, d (f16);
 * x = (d * scale) * (q - 32). Each half of 128 elements takes 64 bytes of nibbles (low, then high)
 * and 32 of bit pairs. */
static void from_q6_k(const uint8_t *b, float *out)
{
    float d = read_f16(b + 208);
    for (size_t i = 0; i < 256; i++) {
        size_t half = i / 128;
        size_t in_half = i % 128;
        uint8_t low = b[half * 64 + in_half % 64];
        uint8_t high = b[128 + half * 32 + in_half % 32];
        int q = (in_half < 64 ? low & 0x0F : low >> 4) | (high >> in_half / 32 * 2 & 3) << 4;
        out[i] = d * (float)(int8_t)b[192 + i / 16] * (float)(q - 32);
    }
}

static void (*block_reader(uint32_t type))(const uint8_t *, float *)
{
    switch (type) {
    case WEIR_TENSOR_F32: return from_f32;
    case WEIR_TENSOR_F16: return from_f16;
    case WEIR_TENSOR_BF16: return from_bf16;
    case WEIR_TENSOR_Q4_0: return from_q4_0;
    case WEIR_TENSOR_Q4_1: return from_q4_1;
    case WEIR_TENSOR_Q5_0: return from_q5_0;
    case WEIR_TENSOR_Q5_1: return from_q5_1;
    case WEIR_TENSOR_Q8_0: return from_q8_0;
    case WEIR_TENSOR_Q4_K: return from_q4_k;
    case WEIR_TENSOR_Q5_K: return from_q5_k;
    case WEIR_TENSOR_Q6_K: return from_q6_k;
    default: return NULL;
    }
}

int weir_dequant_row(uint32_t type, const void *src, float *dst, size_t n_elems)
{
    void (*read_block)(const uint8_t *, float *) = block_reader(type);
    if (!read_block) {
        return WEIR_E_UNSUPPORTED;
    }
    const struct weir_tensor_type_info *info = weir_tensor_type_info(type);
    if (n_elems % info->block_elems != 0) {
        return WEIR_E_ARG;
    }
    const uint8_t *block = src;
    for (size_t i = 0; i < n_elems; i += info->block_elems) {
        read_block(block, dst + i);
        block += info->block_bytes;
    }
    return 0;
}
