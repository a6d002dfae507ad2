/* SPDX-License-Identifier: Apache-2.0 */
#include "heap.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

enum { MAX_HEAPS = 64 };

/* Heaps of this thread that have been seen to. */
static _Thread_local struct {
    uintptr_t from, to;
} heaps[MAX_HEAPS];
static _Thread_local int n_heaps;

static bool is_known(uintptr_t at)
{
    for (int i = 0; i < n_heaps; i++) {
        if (at >= heaps[i].from && at < heaps[i].to) {
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

void weir_heap_use_large_pages(const void *memory)
{
    uintptr_t at = (uintptr_t)memory, from = 0, to = 0;
    if (WEIR_HEAP_IS_SANITIZED || is_known(at) || n_heaps == MAX_HEAPS ||
        !find_mapping(at, &from, &to)) {
        return;
    }
    heaps[n_heaps].from = from;
    heaps[n_heaps].to = to;
    n_heaps++;
    (void)madvise((void *)from, to - from, MADV_HUGEPAGE);
}

void weir_heap_prepare(void)
{
#if defined(__GLIBC__) && !WEIR_HEAP_IS_SANITIZED
    (void)mallopt(M_TOP_PAD, 64 << 20); /* the most that a thread's heap grows to */
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
#endif
    void *first = malloc(512 * 1024); /* makes the first heap grow, by as much */
    weir_heap_use_large_pages(first);
    free(first);
}
