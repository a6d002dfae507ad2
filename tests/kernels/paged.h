/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A KV pool in host memory for tests: random keys and values written by the layout's definition
 * (kernels/kv/kv_layout.h), and read back as floats. */
#include <stddef.h>

#include "kernels/kv/kv_layout.h"

struct weir_test_pool {
    uint32_t type, n_layer, layer, n_head_kv, head_dim, n_pages;
    size_t n_bytes;
    uint8_t *bytes; /* all 0xFF, NaNs, where nobody wrote */
};

void weir_test_pool_init(struct weir_test_pool *pool, uint32_t type, uint32_t n_head_kv,
                         uint32_t head_dim, uint32_t n_pages);
void weir_test_pool_finish(struct weir_test_pool *pool);

/* Rounds x[head_dim] as the page's type does and stores it. */
void weir_test_pool_write(struct weir_test_pool *pool, int is_value, uint32_t page, uint32_t head,
                          uint32_t slot, const float *x);
void weir_test_pool_read(const struct weir_test_pool *pool, int is_value, uint32_t page,
                         uint32_t head, uint32_t slot, float *x);
