/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/kernels/paged.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/quant/half.h"

void weir_test_pool_init(struct weir_test_pool *pool, uint32_t type, uint32_t n_head_kv,
                         uint32_t head_dim, uint32_t n_pages)
{
    *pool = (struct weir_test_pool){.type = type,
                                    .n_layer = 2,
                                    .layer = 1,
                                    .n_head_kv = n_head_kv,
                                    .head_dim = head_dim,
                                    .n_pages = n_pages};
    pool->n_bytes = weir_kv_page_bytes(type, pool->n_layer, n_head_kv, head_dim) * n_pages;
    pool->bytes = malloc(pool->n_bytes);
    if (!pool->bytes) {
        abort();
    }
    memset(pool->bytes, 0xFF, pool->n_bytes);
}

void weir_test_pool_finish(struct weir_test_pool *pool)
{
    free(pool->bytes);
    pool->bytes = NULL;
}

static uint8_t *plane_at(const struct weir_test_pool *pool, int is_value, uint32_t page)
{
    const struct weir_kv_view view = weir_kv_layer(pool->bytes, pool->type, pool->n_layer,
                                                   pool->layer, pool->n_head_kv, pool->head_dim);
    return (is_value ? view.v : view.k) + page * view.page_bytes;
}

static uint16_t *scale_at(const struct weir_test_pool *pool, uint8_t *plane, uint32_t row)
{
    const size_t n_rows = (size_t)pool->n_head_kv * WEIR_KV_PAGE_TOKENS;
    return (uint16_t *)(void *)(plane + n_rows * pool->head_dim) + row;
}

void weir_test_pool_write(struct weir_test_pool *pool, int is_value, uint32_t page, uint32_t head,
                          uint32_t slot, const float *x)
{
    uint8_t *plane = plane_at(pool, is_value, page);
    const uint32_t row = head * WEIR_KV_PAGE_TOKENS + slot;
    if (pool->type == WEIR_KV_F16) {
        uint16_t *to = (uint16_t *)(void *)plane + (size_t)row * pool->head_dim;
        for (uint32_t i = 0; i < pool->head_dim; i++) {
            to[i] = weir_f32_to_f16(x[i]);
        }
        return;
    }
    float amax = 0;
    for (uint32_t i = 0; i < pool->head_dim; i++) {
        amax = fmaxf(amax, fabsf(x[i]));
    }
    const uint16_t half = weir_f32_to_f16(amax / 127.0f);
    const float scale = weir_f16_to_f32(half);
    int8_t *to = (int8_t *)plane + (size_t)row * pool->head_dim;
    for (uint32_t i = 0; i < pool->head_dim; i++) {
        float q = scale > 0 ? nearbyintf(x[i] / scale) : 0;
        to[i] = (int8_t)fmaxf(-127, fminf(127, q));
    }
    *scale_at(pool, plane, row) = half;
}

void weir_test_pool_read(const struct weir_test_pool *pool, int is_value, uint32_t page,
                         uint32_t head, uint32_t slot, float *x)
{
    uint8_t *plane = plane_at(pool, is_value, page);
    const uint32_t row = head * WEIR_KV_PAGE_TOKENS + slot;
    for (uint32_t i = 0; i < pool->head_dim; i++) {
        const size_t at = (size_t)row * pool->head_dim + i;
        x[i] = pool->type == WEIR_KV_F16
                   ? weir_f16_to_f32(((uint16_t *)(void *)plane)[at])
                   : (float)((int8_t *)plane)[at] * weir_f16_to_f32(*scale_at(pool, plane, row));
    }
}
