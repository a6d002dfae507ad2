/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/embed/embed.h"

#include "kernels/gpu.h"

/* Numbers of the GGUF specification, as in engine/gguf/tensor_type.h. */
enum {
    F32 = 0,
    F16 = 1,
    Q4_0 = 2,
    Q4_1 = 3,
    Q5_0 = 6,
    Q5_1 = 7,
    Q8_0 = 8,
    Q4_K = 12,
    Q5_K = 13,
    Q6_K = 14,
    BF16 = 30
};

GPU_DEVICE uint32_t read_u16(const uint8_t *p)
{
    return (uint32_t)(p[0] | p[1] << 8);
}

GPU_DEVICE uint32_t read_u32(const uint8_t *p)
{
    return read_u16(p) | read_u16(p + 2) << 16;
}

GPU_DEVICE float read_f16(const uint8_t *p)
{
    return gpu_f16_to_f32((uint16_t)read_u16(p));
}

GPU_DEVICE int nibble(const uint8_t *qs, uint32_t i)
{
    return i < 16 ? qs[i] & 0x0F : qs[i - 16] >> 4;
}

GPU_DEVICE int fifth_bit(const uint8_t *bits, uint32_t i)
{
    return (int)(read_u32(bits) >> i & 1u) << 4;
}

/* Element i of a block of 32. */
GPU_DEVICE float legacy_element(uint32_t type, const uint8_t *b, uint32_t i)
{
    const float d = read_f16(b);
    switch (type) {
    case Q4_0: return d * (float)(nibble(b + 2, i) - 8);
    case Q4_1: return gpu_add_exact(gpu_mul_exact(d, (float)nibble(b + 4, i)), read_f16(b + 2));
    case Q5_0: return d * (float)((nibble(b + 6, i) | fifth_bit(b + 2, i)) - 16);
    case Q5_1:
        return gpu_add_exact(gpu_mul_exact(d, (float)(nibble(b + 8, i) | fifth_bit(b + 4, i))),
                             read_f16(b + 2));
    default: return d * (float)(int8_t)b[2 + i];
    }
}

/* Element i of a block of 256: Q4_K, or Q5_K whose 32 bytes of fifth bits stand before the nibbles.
 */
GPU_DEVICE float k_element(bool has_fifth, const uint8_t *b, uint32_t i)
{
    const uint8_t *packed = b + 4;
    const uint32_t j = i / 32;
    int scale = packed[j] & 0x3F;
    int min = packed[j + 4] & 0x3F;
    if (j >= 4) {
        scale = (packed[j + 4] & 0x0F) | (packed[j - 4] >> 2 & 0x30);
        min = packed[j + 4] >> 4 | (packed[j] >> 2 & 0x30);
    }
    const uint8_t byte = b[(has_fifth ? 48 : 16) + i / 64 * 32 + i % 32];
    int q = i % 64 < 32 ? byte & 0x0F : byte >> 4;
    if (has_fifth) {
        q |= (b[16 + i % 32] >> j & 1) << 4;
    }
    return gpu_add_exact(gpu_mul_exact(gpu_mul_exact(read_f16(b), (float)scale), (float)q),
                         -gpu_mul_exact(read_f16(b + 2), (float)min));
}

GPU_DEVICE float q6_k_element(const uint8_t *b, uint32_t i)
{
    const uint32_t half = i / 128;
    const uint32_t in_half = i % 128;
    const uint8_t low = b[half * 64 + in_half % 64];
    const uint8_t high = b[128 + half * 32 + in_half % 32];
    const int q = (in_half < 64 ? low & 0x0F : low >> 4) | (high >> in_half / 32 * 2 & 3) << 4;
    return gpu_mul_exact(gpu_mul_exact(read_f16(b + 208), (float)(int8_t)b[192 + i / 16]),
                         (float)(q - 32));
}

GPU_DEVICE uint32_t legacy_bytes(uint32_t type)
{
    return type == Q4_0 ? 18 : type == Q4_1 ? 20 : type == Q5_0 ? 22 : type == Q5_1 ? 24 : 34;
}

GPU_DEVICE float element(uint32_t type, const uint8_t *row, uint32_t i)
{
    switch (type) {
    case F32: return gpu_f32_from_bits(read_u32(row + 4 * i));
    case F16: return read_f16(row + 2 * i);
    case BF16: return gpu_bf16_to_f32((uint16_t)read_u16(row + 2 * i));
    case Q4_K: return k_element(false, row + i / 256 * 144, i % 256);
    case Q5_K: return k_element(true, row + i / 256 * 176, i % 256);
    case Q6_K: return q6_k_element(row + i / 256 * 210, i % 256);
    default: return legacy_element(type, row + i / 32 * legacy_bytes(type), i % 32);
    }
}

GPU_KERNEL(weir_embed, struct weir_embed_args)
{
    const uint32_t token = gpu_block_y();
    const uint32_t i = gpu_block_x() * gpu_block_threads() + gpu_thread();
    if (i >= args.n_embd) {
        return;
    }
    int32_t id = args.ids[token];
    if (args.from && args.from[token] >= 0) {
        id = args.sampled[args.from[token]];
    }
    float v = 0.0f;
    if (id >= 0 && (uint32_t)id < args.n_vocab) {
        v = element(args.type, args.table + (uint64_t)id * args.row_bytes, i) * args.scale;
    }
    args.out[(size_t)token * args.n_embd + i] = v;
}
