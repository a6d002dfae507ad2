/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cpu/kv.h"

#include <sys/mman.h>

#include "weir/backend_step.h"
#include "weir/types.h"

_Static_assert((int)WEIR_CPU_KV_TOKENS == (int)WEIR_PAGE_TOKENS, "the engine's pages");

size_t weir_cpu_kv_page_bytes(const struct weir_hparams *hparams, enum weir_cpu_kv_type type)
{
    return (size_t)hparams->n_layer * hparams->n_head_kv *
           weir_cpu_kv_head_bytes(type, hparams->head_dim);
}

int weir_cpu_kv_init(struct weir_cpu_kv *kv, const struct weir_hparams *hparams,
                     enum weir_cpu_kv_type type, uint32_t n_pages)
{
    size_t page_bytes = weir_cpu_kv_page_bytes(hparams, type);
    size_t size_bytes = 0;
    if (__builtin_mul_overflow(page_bytes, (size_t)n_pages, &size_bytes)) {
        return WEIR_E_TOOBIG;
    }
    void *map = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) {
        return WEIR_E_NOMEM;
    }
    /* No huge pages: the first touch of one clears 2 MB, milliseconds in the middle of a step. */
    *kv = (struct weir_cpu_kv){
        .type = type,
        .memory = map,
        .size_bytes = size_bytes,
        .n_pages = n_pages,
        .n_head_kv = hparams->n_head_kv,
        .head_dim = hparams->head_dim,
        .head_bytes = weir_cpu_kv_head_bytes(type, hparams->head_dim),
        .page_bytes = page_bytes,
    };
    return 0;
}

void weir_cpu_kv_finish(struct weir_cpu_kv *kv)
{
    if (kv->memory) {
        munmap(kv->memory, kv->size_bytes);
    }
    *kv = (struct weir_cpu_kv){0};
}

uint8_t *weir_cpu_kv_head(const struct weir_cpu_kv *kv, uint32_t layer, uint32_t head)
{
    return kv->memory + ((size_t)layer * kv->n_head_kv + head) * kv->head_bytes;
}

void weir_cpu_kv_write(const struct weir_cpu_kv *kv, const struct weir_cpu_ops *ops, uint32_t layer,
                       uint32_t head, const uint32_t *pages, uint32_t pos, const float *k,
                       const float *v)
{
    uint8_t *page =
        weir_cpu_kv_head(kv, layer, head) + pages[pos / WEIR_PAGE_TOKENS] * kv->page_bytes;
    uint32_t slot = pos % WEIR_PAGE_TOKENS;
    uint8_t *keys = page + weir_cpu_kv_keys_at(kv->type);
    uint8_t *values = page + weir_cpu_kv_values_at(kv->type, kv->head_dim);
    if (kv->type == WEIR_CPU_KV_I8) {
        uint16_t *scales = (uint16_t *)(void *)page;
        ops->to_i8(k, kv->head_dim, (int8_t *)keys + slot, WEIR_PAGE_TOKENS, &scales[slot]);
        ops->to_i8(v, kv->head_dim, (int8_t *)values + (size_t)slot * kv->head_dim, 1,
                   &scales[WEIR_PAGE_TOKENS + slot]);
        return;
    }
    ops->to_half(k, kv->head_dim, (uint16_t *)(void *)keys + slot, WEIR_PAGE_TOKENS);
    ops->to_half(v, kv->head_dim, (uint16_t *)(void *)values + (size_t)slot * kv->head_dim, 1);
}
