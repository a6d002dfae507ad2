/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cpu/linear/slab.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static const size_t HUGE_PAGE = (size_t)2 << 20;

int weir_cpu_slab_init(struct weir_cpu_slab *s, size_t size_bytes, struct weir_error *err)
{
    *s = (struct weir_cpu_slab){0};
    if (size_bytes > SIZE_MAX - 2 * HUGE_PAGE) {
        return weir_error_set(err, WEIR_E_NOMEM, "weights of %zu bytes", size_bytes);
    }
    size_t map_bytes = (size_bytes + 2 * HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
    void *map = mmap(NULL, map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) {
        return weir_error_set(err, WEIR_E_NOMEM, "no memory for %zu bytes of weights: %s",
                              size_bytes, strerror(errno));
    }
    /* Advice only: without huge pages the slab works, slower. */
    (void)madvise(map, map_bytes, MADV_HUGEPAGE);
    uintptr_t base = ((uintptr_t)map + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1);
    *s = (struct weir_cpu_slab){
        .map = map,
        .map_bytes = map_bytes,
        .base = (uint8_t *)base,
        .size_bytes = size_bytes,
    };
    return 0;
}

void weir_cpu_slab_finish(struct weir_cpu_slab *s)
{
    if (s->map) {
        munmap(s->map, s->map_bytes);
    }
    *s = (struct weir_cpu_slab){0};
}

void *weir_cpu_slab_take(struct weir_cpu_slab *s, size_t n_bytes)
{
    size_t n = n_bytes <= SIZE_MAX - 63 ? (n_bytes + 63) & ~(size_t)63 : SIZE_MAX;
    if (n > s->size_bytes - s->used_bytes) {
        return NULL;
    }
    void *p = s->base + s->used_bytes;
    s->used_bytes += n;
    return p;
}
