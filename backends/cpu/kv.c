/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cpu/kv.h"

#include <sys/mman.h>

#include "weir/backend_step.h"
#include "weir/types.h"

size_t weir_cpu_kv_page_bytes(const struct weir_hparams *hparams)
{
    return (size_t)hparams->n_layer * hparams->n_head_kv * hparams->head_dim * WEIR_PAGE_TOKENS *
           2 * sizeof(uint16_t);
}

int weir_cpu_kv_init(struct weir_cpu_kv *kv, const struct weir_hparams *hparams, uint32_t n_pages)
{
    size_t page_bytes = weir_cpu_kv_page_bytes(hparams);
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
        .halves = map,
        .size_bytes = size_bytes,
        .n_pages = n_pages,
        .n_head_kv = hparams->n_head_kv,
        .head_dim = hparams->head_dim,
        .head_halves = (size_t)hparams->head_dim * WEIR_PAGE_TOKENS * 2,
        .page_halves = page_bytes / sizeof(uint16_t),
    };
    return 0;
}

void weir_cpu_kv_finish(struct weir_cpu_kv *kv)
{
    if (kv->halves) {
        munmap(kv->halves, kv->size_bytes);
    }
    *kv = (struct weir_cpu_kv){0};
}

uint16_t *weir_cpu_kv_head(const struct weir_cpu_kv *kv, uint32_t layer, uint32_t head)
{
    return kv->halves + ((size_t)layer * kv->n_head_kv + head) * kv->head_halves;
}

void weir_cpu_kv_write(const struct weir_cpu_kv *kv, const struct weir_cpu_ops *ops, uint32_t layer,
                       uint32_t head, const uint32_t *pages, uint32_t pos, const float *k,
                       const float *v)
{
    uint16_t *page =
        weir_cpu_kv_head(kv, layer, head) + pages[pos / WEIR_PAGE_TOKENS] * kv->page_halves;
    uint32_t slot = pos % WEIR_PAGE_TOKENS;
    ops->to_half(k, kv->head_dim, page + slot, WEIR_PAGE_TOKENS);
    ops->to_half(v, kv->head_dim,
                 page + (size_t)kv->head_dim * WEIR_PAGE_TOKENS + (size_t)slot * kv->head_dim, 1);
}
