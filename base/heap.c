/* SPDX-License-Identifier: Apache-2.0 */
#include "heap.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

static bool is_known(const struct weir_heaps *known, uintptr_t at)
{
    for (uint32_t i = 0; i < known->n; i++) {
        if (at >= known->heaps[i].from && at < known->heaps[i].to) {
            return true;
        }
    }
    return false;
}

/* The kernel's mapping around the address. */
static bool find_mapping(uintptr_t at, uintptr_t *ret_from, uintptr_t *ret_to)
{
    char line[512];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && !found && fgets(line, sizeof(line), maps)) {
        /* The rest of a long line does not begin like this. */
        found = sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", ret_from, ret_to) == 2 &&
                at >= *ret_from && at < *ret_to;
    }
    if (maps) {
        (void)fclose(maps);
    }
    return found;
}

void weir_heap_use_large_pages(struct weir_heaps *known, const void *memory)
{
    uintptr_t at = (uintptr_t)memory, from = 0, to = 0;
    if (WEIR_HEAP_IS_SANITIZED || is_known(known, at) || known->n == WEIR_HEAPS ||
        !find_mapping(at, &from, &to)) {
        return;
    }
    known->heaps[known->n].from = from;
    known->heaps[known->n].to = to;
    known->n++;
    (void)madvise((void *)from, to - from, MADV_HUGEPAGE);
}

void weir_heap_prepare(void)
{
#if defined(__GLIBC__) && !WEIR_HEAP_IS_SANITIZED
    (void)mallopt(M_TOP_PAD, 64 << 20); /* the most that a thread's heap grows to */
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
#endif
    void *first = malloc(512 * 1024); /* makes the first heap grow, by as much */
    struct weir_heaps heaps = {.n = 0};
    weir_heap_use_large_pages(&heaps, first);
    free(first);
}
