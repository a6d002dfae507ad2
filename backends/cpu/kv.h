/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The pool of KV pages: 16 positions each, binary16 or int8, all layers and KV heads of a position
 * in one page.
 *
 * Layout of a page: [layer][kv head] parts as ops/kv_layout.h says; one page is contiguous so that
 * a sequence touches few TLB entries. Ownership: the pool owns its mapping. The host hands out page
 * numbers. Threads: rows of different positions may be written in parallel. Memory: mapped at once,
 * resident only once used. */
#include <stddef.h>
#include <stdint.h>

#include "backends/cpu/ops/ops.h"
#include "engine/model/hparams.h"

struct weir_cpu_kv {
    enum weir_cpu_kv_type type;
    uint8_t *memory;
    size_t size_bytes;
    uint32_t n_pages;
    uint32_t n_head_kv, head_dim;
    size_t head_bytes; /* of one layer's one head in a page */
    size_t page_bytes;
};

size_t weir_cpu_kv_page_bytes(const struct weir_hparams *hparams, enum weir_cpu_kv_type type);
/* WEIR_E_NOMEM when the mapping is refused. */
int weir_cpu_kv_init(struct weir_cpu_kv *kv, const struct weir_hparams *hparams,
                     enum weir_cpu_kv_type type, uint32_t n_pages);
void weir_cpu_kv_finish(struct weir_cpu_kv *kv);

/* The part of page 0 that belongs to a layer's KV head; page p lies p * page_bytes further. */
uint8_t *weir_cpu_kv_head(const struct weir_cpu_kv *kv, uint32_t layer, uint32_t head);

/* Stores k[head_dim] and v[head_dim] of position `pos` into the sequence's page. */
void weir_cpu_kv_write(const struct weir_cpu_kv *kv, const struct weir_cpu_ops *ops, uint32_t layer,
                       uint32_t head, const uint32_t *pages, uint32_t pos, const float *k,
                       const float *v);
