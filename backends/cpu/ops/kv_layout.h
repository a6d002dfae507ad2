/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Where the keys and values of one layer's KV head lie in a page of 16 positions.
 *
 * binary16: K [head_dim][16], V [16][head_dim]. int8: scales of K [16], scales of V [16], binary16;
 * then K and V like that in bytes; element = round(x / scale), scale = amax / 127 of the token's
 * head, rounded to binary16. K lies transposed so that 16 keys fill a vector. */
#include <stddef.h>
#include <stdint.h>

enum { WEIR_CPU_KV_TOKENS = 16 }; /* of a page */

enum weir_cpu_kv_type { WEIR_CPU_KV_F16, WEIR_CPU_KV_I8 };

static inline size_t weir_cpu_kv_element_bytes(enum weir_cpu_kv_type type)
{
    return type == WEIR_CPU_KV_I8 ? sizeof(int8_t) : sizeof(uint16_t);
}

/* Of K; those of V follow. 0 bytes for binary16. */
static inline size_t weir_cpu_kv_scale_bytes(enum weir_cpu_kv_type type)
{
    return type == WEIR_CPU_KV_I8 ? WEIR_CPU_KV_TOKENS * sizeof(uint16_t) : 0;
}

static inline size_t weir_cpu_kv_keys_at(enum weir_cpu_kv_type type)
{
    return 2 * weir_cpu_kv_scale_bytes(type);
}

static inline size_t weir_cpu_kv_values_at(enum weir_cpu_kv_type type, uint32_t head_dim)
{
    return weir_cpu_kv_keys_at(type) +
           (size_t)head_dim * WEIR_CPU_KV_TOKENS * weir_cpu_kv_element_bytes(type);
}

static inline size_t weir_cpu_kv_head_bytes(enum weir_cpu_kv_type type, uint32_t head_dim)
{
    return weir_cpu_kv_keys_at(type) +
           2 * (size_t)head_dim * WEIR_CPU_KV_TOKENS * weir_cpu_kv_element_bytes(type);
}
